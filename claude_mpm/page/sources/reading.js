// A session that is over, opened at #/past/SESSION: its events come page by page from whichever server can read them,
// into the same store as those of a running session.

import { line, list, num } from "../plain.js";
import { store, view, newSession, ingest, changed, redraw } from "../store.js";
import { askPast, hasServer, past } from "./past.js";
import { PAST } from "../route.js";
import { takePicture } from "../picture.js";

const EVENTS = 2000; // asked for at a time; a reply has 4 MiB at most
const OPEN = 3; // sessions of the past that are held, 24 MB of JSON each at most
const RETRY = 3000; // ms until a server is asked again after the connection was lost

/** Where such a session's events come from; see links.js for what a source is. */
class Reading {
  constructor(sessionId) {
    Object.assign(this, { sessionId, port: null, home: false, info: {}, session: null, screen: false });
    Object.assign(this, { state: "catching up", why: "", problem: null, busy: false, done: false, retryAt: 0 });
  }

  get up() {
    return false; // no command can be sent to it
  }

  want() {}

  retry() {
    this.problem = null;
    redraw();
  }

  /** Read on while the reader looks at it. Called with every frame. */
  async follow() {
    if (this.busy || this.done || this.problem || !hasServer() || Date.now() < this.retryAt) return;
    this.busy = true;
    try {
      while (!this.done && view.session === this.session.id) await this._nextPage();
    } catch (error) {
      if (error.code === "closed") Object.assign(this, { why: error.message, retryAt: Date.now() + RETRY });
      else this.problem = error;
    }
    this.busy = false;
    changed();
  }

  async _nextPage() {
    const { session } = this;
    const page = await askPast("get_session", { session_id: this.sessionId, since: session.seq, limit: EVENTS });
    for (const event of list(page.events)) this._take(event);
    this.done = page.more !== true;
    if (this.done) Object.assign(this, { state: "over", why: "" });
    session.title = session.title || titleOf(session);
    const { cursor } = session;
    if (cursor && view.session === session.id && view.at) cursor.seek(view.at); // more of that moment may be here now
    changed();
  }

  _take(event) {
    const { session } = this;
    if (!event || typeof event.type !== "string" || num(event.seq) === null) return;
    if (event.type !== "claude.screen") return ingest(session, event, JSON.stringify(event).length);
    session.seq = event.seq;
    takePicture(session, event.data, () => {});
  }
}

/** A session's title as Claude stored it, else its first prompt. */
function titleOf(session) {
  const row = past.rows.find((one) => PAST + one.sessionId === session.id);
  const prompt = session.log.live.rows.find((one) => one.kind === "message" && one.role === "user");
  return line((row && row.title) || (prompt && prompt.text) || "", 80);
}

/** Open what the address names, if it is a session of the past, and read on in it. Called with every frame. */
export function followPast() {
  if (!view.session || !view.session.startsWith(PAST)) return;
  const session = store.sessions.get(view.session) || openPast(view.session);
  session.link.follow();
}

function openPast(id) {
  const held = [...store.sessions.values()].filter((session) => session.past);
  for (const old of held.slice(0, Math.max(0, held.length - OPEN + 1))) store.sessions.delete(old.id);
  const reading = new Reading(id.slice(PAST.length)),
    session = newSession(id, reading);
  reading.session = session;
  Object.assign(session, {
    past: true,
    over: "ended",
    title: titleOf(session),
    noScreen: "Claude's own record of a session holds no pictures of the terminal.",
  });
  return session;
}
