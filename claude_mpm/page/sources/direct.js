// What comes over a link to a running session: its history and its events, one after the other.

import { dict, list, num, str } from "../plain.js";
import { store, changed, redraw, newSession, ingest, keepNoise, settleGreeting, bury } from "../store.js";
import { clone, apply, empty } from "../reduce.js";
import { takePicture } from "../picture.js";
import { CHANNELS, PICTURES, WORTH_A_PICTURE, isEvent } from "./channels.js";

export class Direct {
  constructor(link) {
    Object.assign(this, { link, screen: false, output: false, askedAt: 0 });
  }

  get session() {
    return this.link.session;
  }

  greeted(message) {
    const { link, session: before } = this,
      { data } = message;
    const id = str(message.instance_id || dict(data.instance_info).instance_id) || "port-" + link.port;
    if (before && before.id === id && link.state !== "connecting") {
      apply(before.log.live, message);
      return changed();
    }
    if (before && before.id !== id && !before.over) bury(before, "gone");
    const session = store.sessions.get(id) || newSession(id, link);
    const greeting = { ...message, data: { ...data, seq: num(data.seq) ?? 0 } };
    Object.assign(session, { link, over: null, greeting });
    link.session = session;
    Object.assign(this, { screen: false, output: false });
    // Until the history is here, show what is known; what it holds is not news.
    session.shown = session.seq ? clone(session.log.live) : empty();
    if (!session.seq) apply(session.shown, { ...message, seq: undefined });
    link.send("subscribe", { channels: CHANNELS, since: session.seq });
    link.send("get_instances"); // names who else there is, before anybody is called
    link.catchUp();
  }

  take(message, chars) {
    const { link, session } = this,
      { type, data } = message;
    const reply = REPLIES.get(type);
    if (reply) return reply(this, data);
    if (!session) return;
    if (type === "claude.screen") return takePicture(session, data, () => link.send("get_screen"));
    ingest(session, message, chars);
    if (WORTH_A_PICTURE.has(type)) this.askPicture(type === "session.end");
    if (!link.replaying) changed();
  }

  /** Ask for a picture now and then, so that the last one is from shortly before a session's end, however it ends. */
  askPicture(last) {
    const now = Date.now();
    if (this.link.replaying || !list(this.session.shown.info.capabilities).includes("screen")) return;
    if (!last && (this.screen || now - this.askedAt < PICTURES)) return;
    this.askedAt = now;
    this.link.send("get_screen");
  }

  want({ screen, output }) {
    const { link } = this;
    if (!link.up || !link.ready || link.replaying || !this.session) return;
    if (screen !== this.screen) {
      this.screen = screen;
      link.send(screen ? "subscribe" : "unsubscribe", { channels: ["claude.screen"] });
      if (screen) link.send("get_screen");
    }
    if (output !== this.output) {
      this.output = output;
      link.send(output ? "subscribe" : "unsubscribe", { channels: ["claude.output"] });
      if (output) link.send("get_history", { event_types: ["claude.output"], limit: 300 });
    }
  }

  caughtUp() {
    settleGreeting(this.session, null);
    this.session.shown = this.session.log.live;
  }

  /** The connection has ended. Returns whether the session had ended in order, so that there is nothing to wait for. */
  closed() {
    const { session } = this;
    if (!session || !session.shown.ended) return false;
    bury(session, "ended");
    return true;
  }

  /** Nothing listens any more: the process is gone. */
  unanswered() {
    if (this.session && !this.session.over) bury(this.session, "gone");
  }

  /** What is on this port now is something else. */
  leave() {
    const { session } = this;
    if (session && !session.over) bury(session, session.shown.ended ? "ended" : "gone");
  }
}

const REPLIES = new Map([
  ["subscribed", () => {}],
  ["unsubscribed", () => {}],
  ["instances", ({ link }, data) => link.learn(list(data.instances))],
  [
    "history",
    ({ session }, data) => {
      if (session) keepNoise(session, list(data.events).filter(isEvent));
      redraw();
    },
  ],
  [
    "error",
    ({ session }, data) => {
      if (session && (data.command === "get_screen" || data.code === "unavailable"))
        session.noScreen = str(data.message) || "no picture";
      else console.warn("claude-mpm:", str(data.code), str(data.message));
      redraw();
    },
  ],
]);
