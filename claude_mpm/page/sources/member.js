// One session of a hub, as a source; see links.js. Of most sessions only what their cards show is followed: such a
// member has the mode "summary", and its session's log stays as it is. To follow one in full, its other channels are
// subscribed to, and its history is read from the instance; what comes meanwhile waits, and is merged by its number.

import { cut, dict, list, num, str } from "../plain.js";
import { bury, changed, emptied, ingest, redraw, settleGreeting, view } from "../store.js";
import { apply, clone, empty } from "../reduce.js";
import { failure } from "./requests.js";
import { tokenOf } from "./refusal.js";
import { readBack } from "./history.js";
import { CHANNELS, WORTH_A_PICTURE, isEvent } from "./channels.js";
import { Sight } from "./sight.js";
import { introduce, sinceWhen, summarise, takeStatus } from "../summary.js";

const WAITING = 5000; // events that wait for the history; above it they are read from the instance as well
const AGAIN = 10000; // ms until a history that could not be read is asked for again
const HEARD = new Set(["live", "slow", "catching up"]); // states of a link that events come over

export class Member {
  constructor(hub, id, info) {
    Object.assign(this, { hub, id, info, home: false, machine: "", source: "" });
    Object.assign(this, { reachable: true, known: true, missed: 0 });
    Object.assign(this, { session: null, left: false, mode: "summary", wanted: false, seen: 0, sight: new Sight(this) });
    Object.assign(this, { waiting: [], holey: false, lost: null, problem: "", againAt: 0, dated: null, dating: false });
  }

  get port() {
    return num(this.info.port);
  }

  get state() {
    const { state } = this.hub.link;
    if (this.left) return "over";
    if (!HEARD.has(state)) return state;
    if (!this.reachable) return "unreachable";
    return this.mode === "reading" ? "catching up" : state;
  }

  get why() {
    const trouble = this.hub.troubles.find(({ name }) => name === this.source);
    return this.state === "unreachable" ? str(trouble && trouble.error) : this.hub.link.why;
  }

  get hint() {
    return this.hub.link.hint;
  }

  get retryAt() {
    return this.hub.link.retryAt;
  }

  get up() {
    return this.hub.link.up && this.known && this.reachable && !this.left;
  }

  get isOpen() {
    return this.mode === "open";
  }

  get isBusy() {
    return this.mode === "reading" || this.dating;
  }

  get barred() {
    if (!this.hub.controls) return "; this hub only shows sessions, unless it is started with --websocket-control";
    if (tokenOf(this.hub.link.port) !== null) return "";
    return ", or open the link with the token that claude-mpm hub printed and answer here";
  }

  retry() {
    this.hub.link.retry();
  }

  send(command, params) {
    this.hub.link.send(command, { ...params, instances: [this.id] });
  }

  request(command, params = {}) {
    if (this.up) return this.hub.link.request(command, { ...params, instance_id: this.id });
    const where = this.machine || "the machine of this session";
    return Promise.reject(failure("closed", where + " cannot be reached at the moment"));
  }

  /** Begin to feed a session, which this page may have known before. */
  adopt(session) {
    this.session = session;
    Object.assign(session, { link: this, over: null, shown: session.log.length ? clone(session.log.live) : empty() });
    this.seen = session.seq;
  }

  /** The hub's list says this of the instance. */
  update({ status, reachable, machine, source, ...info }) {
    const { session } = this;
    Object.assign(this, { info, machine: cut(str(machine), 256), source: str(source), missed: 0 });
    if (!this.up) this.againAt = 0;
    Object.assign(this, { known: true, reachable: reachable !== false });
    session.port = this.port;
    session.shown.info = { ...session.shown.info, ...info };
    if (!status || this.mode !== "summary") return;
    const seq = num(dict(status).seq) || 0;
    if (seq && seq <= this.seen) return; // a hub that has just found an instance knows its status, but no number: 0
    this.seen = Math.max(this.seen, seq);
    takeStatus(session.shown, dict(status));
    this.trim();
  }

  /** A frame of the instance. `origin_seq` is its own number for the event, by which this page counts. */
  take(message, chars) {
    const { origin_seq: seq, ...event } = message;
    if (message.type === "claude.screen") return this.sight.picture(message.data);
    this.put({ ...event, seq: num(seq) ?? undefined }, chars);
    if (this.id === view.session && WORTH_A_PICTURE.has(message.type)) this.sight.askPicture();
  }

  put(event, chars) {
    const { session, mode } = this;
    if (mode === "reading") this.wait(event, chars);
    if (event.type === "system.gap") return this.missing(event);
    if (mode === "open") return ingest(session, event, chars);
    if (event.seq === undefined || event.seq <= this.seen) return;
    this.seen = event.seq;
    apply(session.shown, event);
    this.trim();
    const { waiting_for: waiting } = session.shown.status;
    if (waiting) this.dated = waiting.since; // as the event says
  }

  wait(event, chars) {
    if (this.waiting.push([event, chars]) <= WAITING) return;
    this.waiting.length = 0;
    this.holey = true;
  }

  /** A session that is not followed in full, and never was, keeps what its card shows. */
  trim() {
    if (this.mode === "summary" && !this.session.log.length) summarise(this.session.shown);
  }

  /** The hub does not have these events; perhaps the instance has. */
  missing(gap) {
    if (this.mode !== "open" || (num(gap.data.to_seq) || 0) <= this.session.seq) return;
    this.lost = gap;
    this.reread();
  }

  // --- following it in full ---

  /** Follow it in full, if that is wanted, possible and not done yet. Returns whether it has begun. */
  open() {
    if (!this.wanted || this.mode !== "summary" || !this.up || Date.now() < this.againAt) return false;
    Object.assign(this, { mode: "reading", waiting: [], holey: false, problem: "" });
    this.send("subscribe", { channels: CHANNELS });
    this.read();
    return true;
  }

  async read() {
    const ask = (params) => this.request("get_history", params),
      onNewest = (events) => this.preview(events);
    try {
      const status = this.request("get_status"),
        history = readBack(ask, { types: CHANNELS, since: this.session.seq, onNewest });
      const [now, past] = await Promise.all([status, history]);
      if (this.mode === "reading") this.merge(now, past);
    } catch (error) {
      if (this.mode === "reading") this.failed(error);
    }
    changed();
    this.hub.work();
  }

  /** Show the newest events while the older ones are read. */
  preview(events) {
    if (this.mode !== "reading" || this.session.log.length) return;
    this.session.shown = introduce(events, this.session.shown);
    redraw();
  }

  merge(status, { events, oldest }) {
    const { session } = this,
      now = new Date().toISOString();
    if (oldest > session.seq + 1) this.mark(session.seq + 1, oldest - 1, events.length ? events[0][0].timestamp : now);
    session.greeting = { type: "system.status", timestamp: now, data: { ...status, seq: num(status.seq) ?? 0 } };
    for (const [event, chars] of events) ingest(session, event, chars);
    this.flush();
  }

  /** The history is here: go on with what came meanwhile, and live. */
  flush() {
    const { session, waiting, holey } = this;
    Object.assign(this, { mode: "open", waiting: [], holey: false, lost: null });
    session.shown = session.log.live;
    session.shown.info = { ...session.shown.info, ...this.info };
    if (holey) return this.reread();
    for (const [event, chars] of waiting) this.put(event, chars);
    if (this.mode === "open") settleGreeting(session, null);
  }

  /** What is missing is told where it is missing. */
  mark(from, to, timestamp, reason = "expired", counts = {}) {
    const data = { from_seq: from, to_seq: to, counts, reason };
    ingest(this.session, { type: "system.gap", timestamp, data }, 200);
  }

  failed({ code, message }) {
    const { session, lost } = this;
    if (code !== "closed" && lost) {
      const { from_seq: from, to_seq: to, reason, counts } = lost.data;
      this.mark(Math.max(num(from) || 0, session.seq + 1), to, lost.timestamp, str(reason), dict(counts));
      session.seq = Math.max(session.seq, to);
      return this.flush();
    }
    Object.assign(this, { mode: "summary", againAt: code === "closed" ? 0 : Date.now() + AGAIN });
    this.problem = code === "closed" ? "" : "Its history cannot be read: " + message + ". It is asked again shortly.";
  }

  /** Read on from the instance where the hub may have left something out. */
  reread() {
    if (this.mode === "reading") this.holey = true;
    if (this.mode !== "open") return;
    this.rest();
    this.open();
  }

  /** Stop following it in full. */
  close() {
    this.wanted = false;
    if (this.mode === "summary") return;
    this.send("unsubscribe", { channels: [...CHANNELS, "claude.screen", "claude.output"] });
    this.rest();
    emptied(this.session);
    this.trim();
  }

  rest() {
    const { session } = this;
    if (this.mode === "open") session.shown = clone(session.log.live);
    Object.assign(this, { mode: "summary", waiting: [], againAt: 0 });
    this.sight.forget();
    this.seen = Math.max(this.seen, session.seq);
  }

  /** The connection to the hub is there again. `told`: the hub tells what happened since, as it did not start anew. */
  resume(told) {
    this.sight.forget();
    if (told) return;
    this.known = false; // until this hub lists it
    this.rest();
  }

  /** No source has the instance any more. */
  leave() {
    const { session } = this;
    if (this.mode !== "summary") this.send("unsubscribe", { channels: CHANNELS });
    const shown = this.mode === "open" ? session.log.live : session.shown;
    Object.assign(this, { left: true, wanted: false, mode: "summary" });
    if (!session.over) bury(session, shown.ended ? "ended" : "gone");
    session.shown = shown;
  }

  /** Ask since when the session waits, where only the list has said that it does. Returns whether it was asked. */
  askSince() {
    const { waiting_for: waiting } = this.session.shown.status;
    if (!waiting || this.dated === waiting.since || this.dating || this.mode !== "summary" || !this.up) return false;
    this.dating = true;
    this.dated = waiting.since;
    this.request("get_history", { event_types: ["claude.status"], limit: 20 })
      .then(({ events }) => {
        const since = sinceWhen(list(events).filter(isEvent), waiting);
        if (this.session.shown.status.waiting_for !== waiting || since === null) return;
        this.session.shown.status = { ...this.session.shown.status, waiting_for: { ...waiting, since } };
        this.dated = since;
        changed();
      })
      .catch(() => {}) // then the time from which this page knows of it has to do
      .finally(() => {
        this.dating = false;
        this.hub.work();
      });
    return true;
  }

  want({ looked, screen, output }) {
    if (looked && !this.left) this.hub.look(this);
    if (this.up && this.mode !== "summary") this.sight.want({ screen, output });
  }
}
