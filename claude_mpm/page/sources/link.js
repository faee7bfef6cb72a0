// One WebSocket to a claude-mpm: opened, greeted, kept alive, and opened again after growing pauses. What comes over it
// is taken by a feed: direct.js where a session serves it, hub.js where a hub does. A link that leads to a session
// directly is also that session's source; see links.js.

import { dict, num, span } from "../plain.js";
import { store, changed, redraw } from "../store.js";
import { refusalOf, tokenOf } from "./refusal.js";
import { Requests, failure } from "./requests.js";
import { Direct } from "./direct.js";
import { Hub } from "./hub.js";

const SLOW = 2000; // ms; a pong later than this is worth telling
const DEAF = 12000; // ms; without any answer for this long the connection is given up, whatever the socket says
const OPENING = 8000; // ms for a server to accept and greet
const BACKOFF = [500, 1000, 2000, 4000, 8000, 15000]; // ms between tries

export class Link {
  /**
   * @param {number} port
   * @param {boolean} home whether its server served this page
   * @param {function(Object[]): void} learn takes the list of instances, where the server knows others beside itself
   */
  constructor(port, home, learn) {
    Object.assign(this, { port, home, learn, info: {}, ws: null, state: "connecting", why: "", hint: "" });
    Object.assign(this, { tries: 0, retryAt: 0, timer: 0, replaying: false, ready: false, pingAt: 0, heardAt: 0 });
    Object.assign(this, { session: null, hub: null, requests: new Requests(), feed: new Direct(this) });
  }

  get host() {
    return this.home ? location.host : location.hostname + ":" + this.port;
  }

  get up() {
    return this.ws !== null && this.ws.readyState === WebSocket.OPEN;
  }

  /** Why this page may not act on Claude, as the end of a sentence; "" if it may. */
  get barred() {
    if (tokenOf(this.port) !== null) return "";
    return ", or open the link with the token that claude-mpm printed and answer here";
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
      Object.assign(this, { pingAt: 0, heardAt: Date.now(), ready: false });
    };
    ws.onmessage = (message) => ws === this.ws && this.receive(message.data);
    ws.onclose = (event) => ws === this.ws && this.closed(opened, event);
  }

  retry() {
    if (this.ws) return;
    this.tries = 0;
    this.open();
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

  want(wanted) {
    this.feed.want(wanted);
  }

  receive(raw) {
    this.heardAt = Date.now();
    let message;
    try {
      message = JSON.parse(raw);
    } catch {
      return;
    }
    if (!message || typeof message.type !== "string" || this.requests.take(message)) return;
    message.data = dict(message.data);
    if (message.type === "pong") return this.answered();
    if (message.type === "system.status" && num(message.seq) === null) return this.greeted(message);
    if (this.ready) this.feed.take(message, raw.length);
  }

  /** The server's first frame, and its answer to get_status: who it is and how things stand. */
  greeted(message) {
    const isHub = dict(message.data.instance_info).kind === "hub";
    if (isHub && !this.home) return this.drop(); // it is reached by its own page
    if (isHub !== Boolean(this.hub)) {
      this.feed.leave();
      this.session = null;
      this.hub = isHub ? new Hub(this) : null;
      this.feed = this.hub || new Direct(this);
    }
    this.ready = true;
    this.feed.greeted(message);
  }

  /** A feed has asked for what it lacks; a ping behind it is answered once all of that has come. */
  catchUp() {
    Object.assign(this, { tries: 0, replaying: true, pingAt: Date.now() });
    this.set("catching up");
    this.send("ping");
  }

  answered() {
    this.pingAt = 0;
    if (this.ready) this.caughtUp();
    if (this.state === "slow") this.set("live");
  }

  caughtUp() {
    if (!this.replaying) return;
    this.replaying = false;
    this.feed.caughtUp();
    this.set("live");
    changed();
  }

  async closed(opened, event) {
    clearTimeout(this.timer);
    this.ws = null;
    this.requests.drop();
    this.caughtUp();
    if (this.feed.closed()) {
      // an ordinary end: nothing to reconnect to
      this.set("over");
      return changed();
    }
    if (!opened && (await this.refused())) return changed();
    if (this.ws || store.links.get(this.port) !== this) return;
    if (!opened) this.feed.unanswered();
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
    this.feed.leave();
    this.set("over");
    changed();
  }

  /** Called every few seconds; `slept`: the machine did, so no silence before `now` means anything. */
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
