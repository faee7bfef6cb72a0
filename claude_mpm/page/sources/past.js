// The sessions that are over, as the servers list them from Claude's transcripts, and who may read them.

import { dict, list, num, str } from "../plain.js";
import { store, ordered, redraw } from "../store.js";
import { isLocal } from "../names.js";
import { failure } from "./requests.js";

const PAGE = 25; // rows asked for at a time
const KEPT = 1000; // rows held; whoever wants more narrows the search
const PAUSE = 250; // ms without typing before a search begins

/**
 * The list as far as it is here. `state`: "unknown" (not asked yet), "loading", "ready", "absent" (no server has a
 * past), "forbidden" (it needs the token) or "failed"; `why` says more about the last two.
 */
export const past = { rows: [], more: false, next: null, text: "", state: "unknown", why: "" };

const GRAVITY = ["closed", "unknown_command", "unavailable", "forbidden"]; // of refusals, by what the reader can do
let asking = 0; // number of the newest question: replies to older ones are out of date
let typing = 0;

/** The connections that may be asked, the one that served this page first. */
const servers = () =>
  [store.home, ...store.links.values()].filter((link, i) => link && link.up && link.ready && (!i || !link.home));

/** Whether there is a connection to ask. */
export const hasServer = () => servers().length > 0;

/**
 * Ask a command about the past of the first server that answers it: another may be admitted, or keep other sessions.
 *
 * @returns {Promise<Object>} the reply's data; rejects with a failure(): "closed" if there is no connection
 */
export async function askPast(command, params) {
  let worst = failure("closed", "there is no connection to a server");
  for (const link of servers()) {
    try {
      return await link.request(command, params);
    } catch (refusal) {
      if (GRAVITY.indexOf(refusal.code) >= GRAVITY.indexOf(worst.code)) worst = refusal;
    }
  }
  throw worst;
}

/** Read the list anew: its first page. What is shown stays until the reply is here. */
export const readList = () => fetchRows([], null);

/** Read the next page of the list. */
export const readMore = () => fetchRows(past.rows, past.next);

async function fetchRows(rows, before) {
  const mine = ++asking,
    text = past.text.trim();
  past.state = "loading";
  redraw();
  const wanted = rows.length + PAGE;
  try {
    do {
      const data = await askPast("get_sessions", { limit: PAGE, ...(text && { text }), ...(before && { before }) });
      if (mine !== asking) return;
      rows = rows.concat(list(data.sessions).map(rowOf).filter(Boolean)).slice(0, KEPT);
      before = str(data.next) || null;
      Object.assign(past, { rows, next: before, more: data.more === true && rows.length < KEPT && before !== null });
      redraw(); // a search shows its first hits while it goes on
    } while (past.more && rows.length < wanted);
    Object.assign(past, { state: "ready", why: "" });
  } catch (error) {
    if (mine !== asking) return;
    const state = new Map([
      ["unknown_command", "absent"],
      ["forbidden", "forbidden"],
      ["closed", "unknown"],
    ]).get(error.code);
    Object.assign(past, { state: state || "failed", why: error.message });
  }
  redraw();
}

/** @returns {Object|null} a row of `sessions`, in this page's spelling */
function rowOf(row) {
  const data = dict(row),
    sessionId = str(data.session_id),
    match = dict(data.match);
  if (!sessionId) return null;
  return {
    sessionId,
    title: str(data.title),
    workingDir: str(data.working_dir),
    branch: str(data.git_branch),
    startedAt: Date.parse(str(data.started_at)) || null,
    endedAt: Date.parse(str(data.ended_at)) || null,
    bytes: num(data.bytes) || 0,
    recorded: data.recorded === true,
    instanceId: str(data.instance_id),
    match: match.line ? { role: str(match.role), line: str(match.line) } : null,
  };
}

/** Search for a text; "" lists all. Waits until the typing pauses. */
export function searchPast(text) {
  if (text === past.text) return;
  past.text = text;
  clearTimeout(typing);
  typing = setTimeout(readList, PAUSE);
}

let known = ""; // the running sessions when the list was read: with them, what is over changes
/** Read the list when there is a server to ask and the list is not that of now. Called with every frame. */
export function keepListed() {
  if (past.state === "loading" || !hasServer()) return;
  const running = ordered().filter((session) => !session.over && isLocal(session)); // a hub has the past of its machine
  const key = running.map((session) => session.id + session.shown.sessionId).join(" ");
  if (past.state !== "unknown" && (key === known || past.state === "absent")) return;
  known = key;
  readList();
}

/** Ask again after a refusal, for instance with a token. */
export function forgetRefusal() {
  past.state = "unknown";
  redraw();
}
