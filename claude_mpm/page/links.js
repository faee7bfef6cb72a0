// Where sessions' events come from. A source is an object with
//   port, state, why, hint   what the page says about it; the states: connecting, catching up, live, slow, lost,
//                            refused, over
//   want({screen, output})   start or stop the expensive channels, by what is looked at
//   retry()                  try again now
// Here, a WebSocket to a running claude-mpm; a session that is over has another kind, in reading.js.

import { dict, list, num, str, span } from "./plain.js";
import { store, changed, redraw, newSession, ingest, keepNoise, settleGreeting, bury } from "./store.js";
import { clone, apply, empty } from "./reduce.js";
import { takePicture } from "./picture.js";
import { refusalOf, tokenOf } from "./refusal.js";
import { Requests, failure } from "./requests.js";

const CHANNELS =
  "session.* claude.status claude.question claude.message claude.usage tool.* agent.* todo.* system.*".split(" ");
const SLOW = 2000; // ms; a pong later than this is worth telling
const DEAF = 12000; // ms; without any answer for this long the connection is given up, whatever the socket says
const OPENING = 8000; // ms for a server to accept and greet
const BACKOFF = [500, 1000, 2000, 4000, 8000, 15000]; // ms between tries
const PICTURES = 2000; // ms between pictures of a terminal that nobody looks at
const WORTH_A_PICTURE = new Set(["claude.status", "claude.message", "tool.start", "tool.end", "session.end"]);
const BEAT = 3000; // ms between pings
const ASLEEP = 15000; // ms without a beat: the machine slept

class Link {
  constructor(port, home) {
    Object.assign(this, { port, home, info: {}, ws: null, state: "connecting", why: "", hint: "", session: null });
    Object.assign(this, {
      tries: 0,
      retryAt: 0,
      timer: 0,
      replaying: false,
      pingAt: 0,
      heardAt: 0,
      askedAt: 0,
      screen: false,
      output: false,
      requests: new Requests(),
    });
  }

  get host() {
    return this.home ? location.host : location.hostname + ":" + this.port;
  }

  set(state, why = "", hint = "") {
    Object.assign(this, { state, why, hint });
    redraw();
  }

  open() {
    clearTimeout(this.timer);
    this.set("connecting");
    const token = tokenOf(this.port),
      scheme = location.protocol === "https:" ? "wss://" : "ws://";
    const ws = new WebSocket(scheme + this.host + "/" + (token ? "?token=" + encodeURIComponent(token) : ""));
    let opened = false;
    this.ws = ws;
    this.timer = setTimeout(() => ws.close(), OPENING);
    ws.onopen = () => {
      opened = true;
      clearTimeout(this.timer);
      Object.assign(this, { pingAt: 0, heardAt: Date.now(), screen: false, output: false });
    };
    ws.onmessage = (message) => ws === this.ws && this.receive(message.data);
    ws.onclose = (event) => ws === this.ws && this.closed(opened, event);
  }

  retry() {
    if (this.ws) return;
    this.tries = 0;
    this.open();
  }

  get up() {
    return this.ws !== null && this.ws.readyState === WebSocket.OPEN;
  }

  /** Ask for a picture now and then, so that the last one is from shortly before a session's end, however it ends. */
  askPicture(last) {
    const now = Date.now(),
      { shown } = this.session;
    if (this.replaying || !list(shown.info.capabilities).includes("screen")) return;
    if (!last && (this.screen || now - this.askedAt < PICTURES)) return;
    this.askedAt = now;
    this.send("get_screen");
  }

  send(command, params = {}) {
    if (!this.up) return;
    const target = this.session ? { instance_id: this.session.id } : {};
    this.ws.send(JSON.stringify({ command, ...params, ...target }));
  }

  /** Send a command and wait for its reply. @returns {Promise<Object>} its data; rejects with a failure() */
  request(command, params = {}) {
    if (!this.up) return Promise.reject(failure("closed", "there is no connection to this session"));
    return this.requests.make((id) => this.send(command, { ...params, request_id: id }));
  }

  want({ screen, output }) {
    if (!this.up || this.replaying || !this.session) return;
    if (screen !== this.screen) {
      this.screen = screen;
      this.send(screen ? "subscribe" : "unsubscribe", { channels: ["claude.screen"] });
      if (screen) this.send("get_screen");
    }
    if (output !== this.output) {
      this.output = output;
      this.send(output ? "subscribe" : "unsubscribe", { channels: ["claude.output"] });
      if (output) this.send("get_history", { event_types: ["claude.output"], limit: 300 });
    }
  }

  receive(raw) {
    this.heardAt = Date.now();
    let message;
    try {
      message = JSON.parse(raw);
    } catch {
      return;
    }
    const type = message && message.type,
      data = dict(message && message.data);
    if (typeof type !== "string" || this.requests.take(message)) return;
    const reply = REPLIES.get(type);
    if (reply) return reply(this, data);
    if (type === "system.status" && num(message.seq) === null) return this.greeted(data, message);
    if (!this.session) return;
    if (type === "claude.screen") return takePicture(this.session, data, () => this.send("get_screen"));
    ingest(this.session, { ...message, data }, raw.length);
    if (WORTH_A_PICTURE.has(type)) this.askPicture(type === "session.end");
    if (!this.replaying) changed();
  }

  /** The server's first frame, and its answer to get_status: who it is and how things stand. */
  greeted(data, message) {
    const id = str(message.instance_id || dict(data.instance_info).instance_id) || "port-" + this.port;
    if (this.session && this.session.id === id && this.state !== "connecting") {
      apply(this.session.log.live, message);
      return changed();
    }
    if (this.session && this.session.id !== id && !this.session.over) bury(this.session, "gone");
    const session = store.sessions.get(id) || newSession(id, this);
    Object.assign(session, {
      link: this,
      over: null,
      greeting: { ...message, data: { ...data, seq: num(data.seq) ?? 0 } },
    });
    Object.assign(this, { session, tries: 0, replaying: true, pingAt: Date.now() });
    // Until the history is here, show what is known; what it holds is not news.
    session.shown = session.seq ? clone(session.log.live) : empty();
    if (!session.seq) apply(session.shown, { ...message, seq: undefined });
    this.set("catching up");
    this.send("subscribe", { channels: CHANNELS, since: session.seq });
    this.send("get_instances"); // names who else there is, before anybody is called
    this.send("ping"); // answered after the replay
    redraw();
  }

  caughtUp() {
    if (!this.replaying) return;
    this.replaying = false;
    settleGreeting(this.session, null);
    this.session.shown = this.session.log.live;
    this.set("live");
    changed();
  }

  async closed(opened, event) {
    clearTimeout(this.timer);
    this.ws = null;
    this.requests.drop();
    this.caughtUp();
    const session = this.session,
      ended = session && session.shown.ended;
    if (ended) {
      // an ordinary end: nothing to reconnect to
      bury(session, "ended");
      this.set("over");
      return changed();
    }
    if (!opened && (await this.refused())) return changed();
    if (this.ws || store.links.get(this.port) !== this) return;
    if (!opened && session && !session.over) bury(session, "gone"); // nothing listens any more: the process is gone
    if (!this.home && !store.listed.has(this.port)) return this.drop();
    const delay = BACKOFF[Math.min(this.tries++, BACKOFF.length - 1)] * (0.85 + Math.random() * 0.3);
    this.retryAt = Date.now() + delay;
    this.timer = setTimeout(() => this.open(), delay);
    this.set("lost", event.reason || "");
    changed();
  }

  async refused() {
    const refusal = await refusalOf(this);
    if (!refusal || this.ws || store.links.get(this.port) !== this) return Boolean(refusal);
    this.set("refused", refusal.why, refusal.hint);
    return true;
  }

  drop() {
    clearTimeout(this.timer);
    store.links.delete(this.port);
    const ws = this.ws;
    this.ws = null;
    if (ws) ws.close();
    if (this.session && !this.session.over) bury(this.session, this.session.shown.ended ? "ended" : "gone");
    this.set("over");
    changed();
  }

  beat(now, slept) {
    if (!this.up) return slept && this.state === "lost" ? this.open() : undefined;
    if (slept) Object.assign(this, { pingAt: 0, heardAt: now });
    if (!this.pingAt) {
      this.pingAt = now;
      return this.send("ping");
    }
    const since = this.replaying ? this.heardAt : this.pingAt; // during a replay the pong waits behind it
    if (now - since > DEAF) {
      const ws = this.ws;
      this.ws = null;
      ws.close();
      this.closed(true, { reason: "no answer for " + span(now - since) });
    } else if (now - this.pingAt > SLOW && this.state === "live" && !this.requests.size) this.set("slow");
  }
}

const REPLIES = new Map([
  ["subscribed", () => {}],
  ["unsubscribed", () => {}],
  [
    "pong",
    (link) => {
      link.pingAt = 0;
      if (link.session) link.caughtUp();
      if (link.state === "slow") link.set("live");
    },
  ],
  ["instances", (link, data) => learn(list(data.instances))],
  [
    "history",
    (link, data) => {
      if (link.session)
        keepNoise(
          link.session,
          list(data.events).filter((e) => e && num(e.seq) !== null && typeof e.type === "string"),
        );
      redraw();
    },
  ],
  [
    "error",
    (link, data) => {
      if (link.session && (data.command === "get_screen" || data.code === "unavailable"))
        link.session.noScreen = str(data.message) || "no picture";
      else console.warn("claude-mpm:", str(data.code), str(data.message));
      redraw();
    },
  ],
]);

/** Connect to the session on a port; `home`: the one that served this page. */
export function connect(port, home) {
  const link = new Link(port, home);
  store.links.set(port, link);
  link.open();
  return link;
}

/** Follow what get_instances says: connect to new instances, let go of those that are gone. */
function learn(infos) {
  store.listed = new Set(infos.map((info) => num(dict(info).port)).filter(Boolean));
  for (const info of infos) {
    const port = num(dict(info).port);
    if (!port) continue;
    const old = store.links.get(port);
    const link =
      old && !(old.state === "over" && str(info.instance_id) !== (old.session ? old.session.id : ""))
        ? old
        : connect(port, Boolean(old && old.home));
    if (link.home) store.home = link;
    link.info = info;
    const session = link.session;
    if (session && session.id === info.instance_id) session.shown.info = { ...session.shown.info, ...info };
  }
  for (const link of [...store.links.values()]) if (!link.home && !store.listed.has(link.port) && !link.up) link.drop();
  redraw();
}

let lastBeat = Date.now();
/** Ping every connection, give up deaf ones, and ask one of them which sessions there are. */
export function heartbeat() {
  const now = Date.now(),
    slept = now - lastBeat > ASLEEP;
  lastBeat = now;
  for (const link of [...store.links.values()]) link.beat(now, slept);
  const asked = [...store.links.values()].find((link) => link.up && link.session);
  if (asked) asked.send("get_instances");
}

/** Start the heartbeat. */
export function startHeartbeat() {
  setInterval(heartbeat, BEAT);
  addEventListener("online", () => [...store.links.values()].forEach((link) => link.state === "lost" && link.retry()));
}
