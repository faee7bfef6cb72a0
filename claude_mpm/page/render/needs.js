// The card that says what a session needs, first thing on the page, with the answers that can be given here.

import { el, text } from "./dom.js";
import { cut, running, dict } from "../plain.js";
import { waitingFor, waitingText } from "../store.js";
import { renderAnswers, titleOf, whereToAnswer } from "./answers.js";

const $ = (id) => document.getElementById(id);
const SHOWN = 6000; // characters of one value
let drawn = null;

/**
 * @param {import("../store.js").Session} session
 * @param {function(Object): HTMLElement|null} [describe] how a tool's input is shown; null falls back to key: value
 */
export function renderNeeds(session, describe = () => null) {
  const waiting = waitingFor(session);
  const { open, told } = renderAnswers(session);
  $("needs").hidden = !waiting && !told;
  $("needs").classList.toggle("settled", !waiting && !open.length);
  text($("needs-since"), waiting ? "waiting " + running(Date.now() - waiting.since) : "");
  text($("needs-what"), titleOf(session, waitingText));
  text(
    $("needs-how"),
    !waiting && !open.length
      ? ""
      : (waiting && waiting.input && waiting.message ? waiting.message + "  " : "") +
          whereToAnswer(session, waiting, open),
  );
  if (!waiting || told) {
    // A card shows all that would run, exactly; once is enough.
    $("needs-input").hidden = true;
    return void (drawn = null);
  }
  if (drawn === waiting) return;
  drawn = waiting;
  const body = describe(waiting) || plain(waiting);
  $("needs-input").replaceChildren(...(body ? [body] : []));
  $("needs-input").hidden = !body;
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
