// The session inside an exported page: a source of events (see links.js) that reads them from the document itself.

import { store, changed, newSession, ingest, bury } from "../store.js";
import { Film } from "../film.js";
import { dict, line, str, when } from "../plain.js";

const NO_SCREEN = "This file has no pictures of the terminal: they need a session that was recorded (--record).";

/** The element that claude_mpm/archive/export/page_bundle.py puts into an exported page. */
const element = () => document.getElementById("session-events");

/** Whether this page was exported, and so has its only session inside. */
export const isExported = () => element() !== null;

/**
 * Show the session inside this page. Its source has nothing to wait for, to retry or to subscribe to.
 *
 * @returns {Object} the source; its session is there once the events are unpacked
 */
export function openExported() {
  const nothing = () => {};
  const about = { port: 0, host: "", home: true, exported: true, info: {}, state: "catching up", why: "", hint: "" };
  const source = { ...about, session: null, film: new Film(), want: nothing, retry: nothing, send: nothing };
  store.links.set(0, source);
  load(source).catch((error) => {
    const why = "The session in this file cannot be read.";
    Object.assign(source, { state: "refused", why, hint: line(String(error), 300) });
    changed();
  });
  return source;
}

async function load(source) {
  for (const text of await unpack(JSON.parse(element().textContent))) take(source, text);
  if (!source.session) throw new Error("it holds no events");
  source.session.noScreen = NO_SCREEN;
  bury(source.session, "ended");
  source.state = "over";
  changed();
}

function take(source, text) {
  let event;
  try {
    event = JSON.parse(text);
  } catch {
    return; // what is not an event is passed over, as everywhere
  }
  if (!event || typeof event.type !== "string") return;
  source.session = source.session || newSession(str(event.instance_id) || "exported", source);
  const at = when(event.timestamp);
  if (event.type === "claude.screen") return void source.film.add(at, event.data);
  ingest(source.session, { ...event, data: dict(event.data) }, text.length);
}

/** The lines in base64 of gzip. */
async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(stream).text()).split("\n").filter(Boolean);
}
