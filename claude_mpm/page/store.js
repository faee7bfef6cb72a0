// What the page knows: sessions by instance id, connections by port, what is looked at, and the reader's preferences.

import { dict, list, num, str } from "./plain.js";
import { EventLog } from "./time.js";
import * as reducer from "./reduce.js";
import { failedEnd } from "./text/phrases.js";

const CHARS = 24e6; // JSON characters of one session's events; a server keeps 16 MiB, so a whole session usually fits
const NOISE = 2000; // claude.output and system.status events kept beside them, so that they push nothing else out
const OVER = 12; // sessions that are over and stay on the rail; the oldest go first

/** Event types that arrive in volume; kept apart from the rest. */
export const NOISY = new Set(["claude.output", "system.status"]);

/**
 * @typedef {Object} Session
 * @property {string} id the instance id
 * @property {Object} link where its events come from; see links.js
 * @property {EventLog} log its events, and the state they add up to
 * @property {Object} shown the state to show: `log.live`, or the last known one while the history is being replayed
 * @property {{event: Object, seq: number}[]} noise
 * @property {Map<string, number>} types how many events of each type were seen
 * @property {null|"ended"|"gone"} over "gone": the connection ended, and no session.end was seen
 * @property {Object|null} screen the newest picture of its terminal, with `at`
 */

/**
 * `links`: by port; `hubs`: the instance_info of hubs on this machine, in the page of one session.
 *
 * @type {{sessions: Map<string, Session>, links: Map<number, Object>, home: Object|null, listed: Set<number>,
 *   hubs: Object[]}}
 */
export const store = { sessions: new Map(), links: new Map(), home: null, listed: new Set(), hubs: [] };

/** What is looked at; route.js keeps the address in step. `agent`: a key, "all", or null for the main thread. */
export const view = { session: null, name: "conversation", agent: null, query: "", at: null };

const stored = (key) => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage is switched off
  }
};

/** The reader's preferences, remembered by the browser where it allows that. */
export const prefs = {
  sound: stored("sound") === "on",
  theme: stored("theme") || "auto",
  keys: stored("keys") !== "off",
  size: Number(stored("size")) || 0,
};

/** Change a preference and remember it. */
export function setPref(name, value) {
  prefs[name] = value;
  try {
    localStorage.setItem(name, typeof value === "boolean" ? (value ? "on" : "off") : String(value));
  } catch {
    // storage is switched off: the choice holds until the page closes
  }
}

const listeners = { changed: () => {}, stirred: () => {}, drawn: () => {} };
let order = null; // the sessions in the rail's order, until data changes: with thousands, sorting is dear

/** Register what runs when data changed (at once) and when something must be drawn (the next frame). */
export const listen = (handlers) => Object.assign(listeners, handlers);
/** Say that a session's data changed: attention is computed at once, drawing follows. */
export function changed() {
  order = null;
  listeners.changed();
}
/** Say that a session's data changed in a way that calls nobody: drawing follows. */
export const stirred = () => listeners.stirred();
/** Ask for the page to be drawn in the next frame. */
export function redraw() {
  order = null;
  listeners.drawn();
}

/** What a session holds before its first event. */
function nothing() {
  const log = new EventLog(reducer, { maxChars: CHARS });
  return { log, greeting: null, seq: 0, noise: [], types: new Map(), total: 0 };
}

/** Let go of a session's events; what is shown of it stays. */
export const emptied = (session) => Object.assign(session, nothing(), { cursor: null, screen: null });

/** @returns {Session} */
export function newSession(id, link) {
  const session = { id, link, port: link.port, ...nothing(), over: null, screen: null, noScreen: "", read: { seq: 0 } };
  session.shown = session.log.live;
  store.sessions.set(id, session);
  order = null;
  const over = [...store.sessions.values()].filter((s) => s.over && !s.past);
  for (const old of over.slice(0, Math.max(0, over.length - OVER)))
    if (old.id !== view.session) store.sessions.delete(old.id);
  return session;
}

/**
 * Take an event of the protocol into a session. Events at or below `session.seq` were seen before and are dropped.
 *
 * @param {Session} session
 * @param {Object} event the parsed frame
 * @param {number} chars the length of its JSON
 */
export function ingest(session, event, chars) {
  const seq = num(event.seq);
  if (seq !== null && seq <= session.seq) return;
  settleGreeting(session, seq);
  if (seq !== null) session.seq = seq;
  session.total++;
  session.types.set(event.type, (session.types.get(event.type) || 0) + 1);
  if (!NOISY.has(event.type)) return void session.log.push(event, chars);
  keepNoise(session, [event]);
  reducer.apply(session.log.live, event);
}

/** Keep noisy events in order; ones already kept are ignored. */
export function keepNoise(session, events) {
  const have = new Set(session.noise.map((record) => record.seq));
  for (const event of events) if (!have.has(event.seq)) session.noise.push(event);
  session.noise.sort((a, b) => a.seq - b.seq);
  if (session.noise.length > NOISE * 1.1) session.noise.splice(0, session.noise.length - NOISE);
}

/** The greeting describes the moment of its own seq: apply it before the first event that is newer. */
export function settleGreeting(session, before) {
  const greeting = session.greeting;
  if (!greeting || (before !== null && before <= greeting.data.seq)) return;
  session.greeting = null;
  reducer.apply(session.log.live, { ...greeting, seq: undefined });
}

/** A session is over: nothing in it runs any more. Its counters stop at its last event. */
export function bury(session, how) {
  session.over = how;
  session.shown = session.log.live;
}

/** Remove a session that is over from the page. */
export function forget(id) {
  store.sessions.delete(id);
  order = null;
  if (view.session === id) view.session = null;
  changed();
}

/** When the newest event of a session happened, in ms. */
export const lastAt = (session) => session.shown.ended?.at || session.shown.at || session.shown.status.at || null;

/** The time up to which a session's counters run: now, or its last event when it is over or not heard. */
export const until = (session) => (isLive(session) ? Date.now() : lastAt(session) || Date.now());

/** Whether what is shown of a session is what happens now. */
export const isLive = (session) =>
  !session.over &&
  !session.shown.ended &&
  !session.shown.info.kind && // a replay only passes as a running session does
  ["live", "catching up", "slow"].includes(session.link.state);

/** The state to draw: at the cursor, or the newest one. */
export const stateOf = (session) => (session.cursor && !session.cursor.live ? session.cursor.state : session.shown);

/** A session's state in one word, with its mark and the words for it. */
export function mood(session) {
  const now = session.shown,
    ended = now.ended;
  if (ended) return failedEnd(ended) ? ["failed", "✕", "failed"] : ["ended", "■", "ended"];
  if (session.over === "ended") return ["ended", "■", "ended"];
  if (session.over) return ["gone", "✕", "connection lost"];
  const link = session.link;
  if (link.state === "refused") return ["failed", "✕", "refused"];
  if (link.state === "unreachable") return ["lost", "◌", "not reachable"];
  if (link.state === "lost" || link.state === "connecting")
    return ["lost", "◌", link.state === "lost" ? "connection lost" : "connecting"];
  if (now.status.activity === "waiting" && !now.info.kind) return ["waiting", "◆", "needs you"];
  if (now.status.claude_status === "error") return ["failed", "✕", "error"];
  if (now.status.claude_status === "stopped") return ["ended", "■", "stopped"];
  if (now.status.claude_status === "starting") return ["starting", "◌", "starting"];
  return now.status.activity === "working"
    ? ["working", "●", "working"]
    : now.status.activity === "idle"
      ? ["idle", "○", "idle"]
      : ["working", "●", "running"];
}

/** The request that a session waits for an answer to, or null. */
export const waitingFor = (session) => (mood(session)[0] === "waiting" ? session.shown.status.waiting_for : null);

/** The sessions that need the reader, longest waiting first. */
export const needy = () =>
  [...store.sessions.values()].filter(waitingFor).sort((a, b) => waitingFor(a).since - waitingFor(b).since);

/** What a session's request is, in words that follow its name. */
export function waitingText(waiting) {
  if (waiting.kind === "permission")
    return waiting.tool ? "asks permission for " + str(waiting.tool) : "asks permission";
  return waiting.kind === "question" ? "has a question" : "waits for your input";
}

const startOf = (session) => session.shown.startedAt || Date.parse(str(session.shown.info.started_at)) || 0;

/** A server that serves no session of its own has none on the rail; neither has the past, which has its own list. */
const isListed = (session) => !session.past && session.shown.info.kind !== "overview";

/** Sessions in the rail's order, which does not change while they run: newest start first. */
export function ordered() {
  if (order) return order;
  const starts = [...store.sessions.values()].filter(isListed).map((session) => [startOf(session), session]);
  starts.sort(([a, one], [b, other]) => b - a || (one.id < other.id ? -1 : 1));
  order = starts.map(([, session]) => session);
  return order;
}

/** How many agents run in a state. */
export const agentsRunning = (now) =>
  now.ended
    ? 0
    : Math.max(list(now.activeAgents).length, [...now.agents.values()].filter((a) => a.status === "started").length);

/** Tokens of a session's answers: what was sent, received, and read from or written to the cache. */
export function tokensOf(usage) {
  const totals = dict(usage && usage.totals),
    of = (key) => num(totals[key]) || 0;
  return { input: of("input"), output: of("output"), cached: of("cache_read") + of("cache_creation") };
}
