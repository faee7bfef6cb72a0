// Search within the view that is open: hits are marked without touching the document, counted, and walked with Enter.

import { text } from "./dom.js";
import { str } from "../plain.js";

const MARKED = 500; // hits marked at once
const input = document.getElementById("search"),
  hits = document.getElementById("hits");
let current = -1;

/** The text of a row that a search looks through, in lower case. */
function textOf(row, state) {
  if (row.kind === "call") {
    const call = state.calls.get(row.id);
    return call ? (call.tool + " " + JSON.stringify(call.input) + " " + call.summary).toLowerCase() : "";
  }
  if (row.kind === "delegation") {
    const agent = state.agents.get(row.key);
    return agent ? (agent.agent + " " + agent.task).toLowerCase() : "";
  }
  return str(row.text).toLowerCase();
}

/** The rows that contain the text. Pure. */
export const found = (rows, state, query) =>
  query ? rows.filter((row) => textOf(row, state).includes(query.toLowerCase())) : [];

/** Mark the hits under `root`, and say how many rows or entries match. */
export function markHits(root, query, number) {
  text(
    hits,
    query
      ? number === 0
        ? "no match"
        : current >= 0 && current < number
          ? current + 1 + " of " + number
          : String(number)
      : "",
  );
  if (!CSS.highlights) return;
  CSS.highlights.delete("hit");
  if (query) CSS.highlights.set("hit", new Highlight(...ranges(root, query.toLowerCase())));
}

function ranges(root, query) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT),
    out = [];
  for (let node = walker.nextNode(); node && out.length < MARKED; node = walker.nextNode()) {
    const words = node.data.toLowerCase();
    for (let at = words.indexOf(query); at >= 0 && out.length < MARKED; at = words.indexOf(query, at + query.length)) {
      const range = new Range();
      range.setStart(node, Math.min(at, node.length));
      range.setEnd(node, Math.min(at + query.length, node.length));
      out.push(range);
    }
  }
  return out;
}

/** The next (1) or previous (-1) match, wrapping around; null when there is none. */
export function step(matches, direction) {
  if (!matches.length) return null;
  current =
    current < 0 ? (direction > 0 ? 0 : matches.length - 1) : (current + direction + matches.length) % matches.length;
  return matches[current];
}

/** Start over: the text changed. */
export const restart = () => (current = -1);

/** Keep the field in step with the address. */
export function syncField(query) {
  if (document.activeElement !== input && input.value !== query) input.value = query;
}
