// JSON to read, in colour.

import { el } from "./dom.js";

const COLOURED = 3000; // pieces; the rest stays plain

/** The pieces of a pretty-printed JSON text. */
export function coloured(pretty) {
  const out = [],
    token = /("(?:[^"\\]|\\.)*")(\s*:)?|-?\b\d[\d.eE+-]*\b|\b(?:true|false|null)\b/g;
  let from = 0,
    match;
  while (out.length < COLOURED && (match = token.exec(pretty))) {
    out.push(
      el("span", { text: pretty.slice(from, match.index) }),
      el("span", { class: match[2] ? "k" : match[1] ? "s" : "n", text: match[0] }),
    );
    from = token.lastIndex;
  }
  return [...out, el("span", { text: pretty.slice(from) })];
}
