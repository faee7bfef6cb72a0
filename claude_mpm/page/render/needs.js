// The card that says what a session needs, first thing on the page. #needs-answer is the place for answer buttons.

import { el, text } from "./dom.js";
import { cut, running, str, dict } from "../plain.js";
import { waitingFor, waitingText } from "../store.js";

const $ = (id) => document.getElementById(id);
const SHOWN = 6000; // characters of one value
let drawn = null;

/**
 * @param {import("../store.js").Session} session
 * @param {function(Object): HTMLElement|null} [describe] how a tool's input is shown; null falls back to key: value
 */
export function renderNeeds(session, describe = () => null) {
  const waiting = waitingFor(session);
  $("needs").hidden = !waiting;
  if (!waiting) return void (drawn = null);
  text($("needs-since"), "waiting " + running(Date.now() - waiting.since));
  if (drawn === waiting) return;
  drawn = waiting;
  text($("needs-what"), "◆ Claude " + waitingText(waiting));
  const body = describe(waiting) || plain(waiting);
  $("needs-input").replaceChildren(...(body ? [body] : []));
  $("needs-input").hidden = !body;
  text(
    $("needs-how"),
    (waiting.input && waiting.message ? waiting.message + "  " : "") +
      "Answer in the terminal of " +
      str(session.shown.info.working_dir) +
      ".",
  );
}

function plain(waiting) {
  const input =
    waiting.input === null ? waiting.message : typeof waiting.input === "string" ? waiting.input : pairs(waiting.input);
  return input ? el("pre", { class: "data", tabindex: "0", text: cut(input, SHOWN) }) : null;
}

/** A tool's input for reading: texts as they are, not as JSON with \n in it. */
export function pairs(input) {
  const of = ([key, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 1) || "";
    return text.includes("\n") ? key + ":\n" + text : key + ": " + text;
  };
  return Object.entries(dict(input)).map(of).join("\n");
}
