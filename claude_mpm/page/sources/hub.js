// What comes over a link to a hub: which sessions there are on all its machines, and their events, each for the member
// that it belongs to.

import { dict, list, num, str } from "../plain.js";
import { changed, newSession, redraw, store, stirred, waitingFor, mood } from "../store.js";
import { CARD_CHANNELS, CHANNELS } from "./channels.js";
import { Member } from "./member.js";

const FEW = 12; // sessions that are followed in full: all of so few, else the ones looked at last
const READERS = 4; // histories read at a time
const PAUSE = 2500; // ms between lists, at least
const PAUSE_EACH = 10; // ms more for each session in it
const REST = 30000; // ms after which a long list is asked for though nothing says that it changed
const SHORT = 100; // sessions; so short a list is asked for with every beat
const MOST = 5000; // sessions this page keeps; how many more there are is said
const SESSIONLESS = new Set(["hub", "overview"]);

export class Hub {
  constructor(link) {
    Object.assign(this, { link, id: "", seq: 0, info: {}, fleet: {}, listed: false, askedAt: 0, stale: false });
    Object.assign(this, { members: new Map(), looked: null, unshown: 0 });
  }

  /** The name of the machine that the hub runs on. */
  get machine() {
    return str(this.info.hostname);
  }

  /** Whether the hub lets its clients act on sessions at all. */
  get controls() {
    return list(this.info.capabilities).includes("control");
  }

  /** The sources that cannot be reached: [{name, error}]. */
  get troubles() {
    return list(this.fleet.sources).map(dict).filter((source) => source.reachable === false && source.error);
  }

  greeted(message) {
    const { link } = this,
      { data } = message,
      before = this.standing();
    this.info = dict(data.instance_info);
    this.fleet = dict(data.fleet);
    if (link.state !== "connecting") {
      if (this.standing() !== before) this.stale = true;
      return redraw();
    }
    const again = this.id === str(message.instance_id);
    if (!again) Object.assign(this, { id: str(message.instance_id), seq: num(data.seq) || 0 });
    this.subscribe(again);
    this.ask();
    link.catchUp();
  }

  /** `again`: to the same run of the hub, whose numbers go on. Otherwise what is held is read on from the instances. */
  subscribe(again) {
    const { link } = this,
      open = [...this.members.values()].filter((member) => member.isOpen),
      since = again ? { since: this.seq } : {};
    // All types of one session have to come in one replay, in order; the second leaves out what the first has told.
    if (again && open.length)
      link.send("subscribe", { channels: CHANNELS, instances: open.map((member) => member.id), ...since });
    link.send("subscribe", { channels: CARD_CHANNELS, ...since });
    for (const member of this.members.values()) member.resume(again);
  }

  take(message, chars) {
    const reply = REPLIES.get(message.type);
    if (reply) return reply(this, message.data);
    if (num(message.seq) !== null) this.seq = Math.max(this.seq, message.seq);
    const id = str(message.instance_id);
    if (id === this.id) return this.tell(message);
    const member = this.members.get(id) || this.meet(message);
    if (!member) return void this.ask();
    const { session } = member,
      calls = waitingFor(session),
      [was] = mood(session);
    member.take(message, chars);
    // Who needs the reader is worked out over all sessions, so only when it may have changed.
    if (waitingFor(session) !== calls || mood(session)[0] !== was) changed();
    else stirred();
  }

  /** An event of the hub's own. */
  tell(message) {
    if (message.type === "system.gap" && num(message.seq) === null) {
      // This page was too slow, or away too long: what the instances still have is read from them.
      for (const member of this.members.values()) member.reread();
      this.ask();
    } else if (message.type === "system.error") this.ask();
  }

  /** A session that starts introduces itself; any other that is not known yet will be in the list. */
  meet(message) {
    const info = dict(message.data.instance_info);
    if (message.type !== "session.start" || !num(info.port)) return null;
    return this.add({ ...info, instance_id: message.instance_id, machine: message.machine, reachable: true });
  }

  add(info) {
    const id = str(info.instance_id),
      member = new Member(this, id, info);
    this.members.set(id, member);
    member.adopt(store.sessions.get(id) || newSession(id, member));
    member.update(info);
    return member;
  }

  /** Follow what get_instances says. One that is missing once may just have been announced; twice, it is gone. */
  list(infos) {
    const listed = new Set();
    for (const info of infos) {
      const id = str(info.instance_id);
      if (!id || SESSIONLESS.has(info.kind)) continue;
      listed.add(id);
      const member = this.members.get(id);
      if (member) member.update(info);
      else if (this.members.size < MOST) this.add(info);
    }
    for (const [id, member] of this.members) if (!listed.has(id)) this.missing(id, member);
    Object.assign(this, { listed: true, unshown: Math.max(0, listed.size - this.members.size) });
    this.work();
    changed();
  }

  missing(id, member) {
    const source = list(this.fleet.sources).map(dict).find(({ name }) => name === member.source);
    const unknown = source && source.reachable === false; // a hub that was restarted has not found it again yet
    if (unknown && !member.session.shown.ended) return void (member.reachable = false);
    this.stale = true;
    if (!member.session.shown.ended && member.missed++ === 0) return;
    this.members.delete(id);
    member.leave();
  }

  /** Follow in full what is to be, a few at a time: all sessions if they are few, else those that were looked at. */
  work() {
    if (!this.link.up) return;
    const members = [...this.members.values()];
    let free = READERS - members.filter((member) => member.isBusy).length;
    for (const member of members) {
      if (members.length <= FEW) member.wanted = true;
      if (free > 0 && (member.open() || member.askSince())) free--;
    }
  }

  /** Somebody looks at a session: it is followed in full, and of the others only those looked at last. */
  look(member) {
    if (this.looked !== member) {
      this.looked = member;
      this.members.delete(member.id);
      this.members.set(member.id, member); // the last one looked at
      member.wanted = true;
      const wanted = [...this.members.values()].filter((one) => one.wanted);
      if (this.members.size > FEW) for (const one of wanted.slice(0, Math.max(0, wanted.length - FEW))) one.close();
    }
    member.open();
  }

  /** Ask how things stand, unless that was just done. */
  ask() {
    const pause = Math.max(PAUSE, this.members.size * PAUSE_EACH);
    if (Date.now() - this.askedAt < pause && this.listed && this.link.state !== "connecting")
      return void (this.stale = true);
    Object.assign(this, { askedAt: Date.now(), stale: false });
    this.link.send("get_status");
    this.link.send("get_instances");
  }

  /** Called every few seconds. */
  beat() {
    const rested = Date.now() - this.askedAt > REST;
    if (this.stale || rested || this.members.size <= SHORT) this.ask();
    else this.link.send("get_status"); // short, and says whether the list has changed
    this.work();
  }

  /** What of the fleet, when it changes, makes the list worth asking for. */
  standing() {
    const { instances, unreachable, sources } = this.fleet;
    return JSON.stringify([instances, unreachable, list(sources).map((source) => dict(source).reachable)]);
  }

  want() {}

  caughtUp() {}

  /** The connection has ended; it is made again. */
  closed() {
    return false;
  }

  unanswered() {}

  leave() {
    for (const member of this.members.values()) member.leave();
    this.members.clear();
  }
}

const REPLIES = new Map([
  ["subscribed", () => {}],
  ["unsubscribed", () => {}],
  ["instances", (hub, data) => hub.list(list(data.instances).map(dict))],
  ["error", (hub, data) => console.warn("claude-mpm:", str(data.code), str(data.message))],
]);
