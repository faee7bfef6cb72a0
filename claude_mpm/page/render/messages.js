// Messages, and notices about the session itself.

import { el, shape } from "./dom.js";
import { clock } from "../plain.js";
import { renderMarkdown } from "./markdown.js";

const SPEAKERS = new Map([
  ["user", "You"],
  ["assistant", "Claude"],
  ["system", "System"],
]);

/**
 * A message of the conversation.
 *
 * @param {Object} row of kind "message"
 * @param {Map<string, Object>} names agents by their id
 */
export function renderMessage(row, names) {
  const agent = names.get(row.agentId),
    own = row.agentId ? (agent ? agent.agent : "agent " + row.agentId.slice(0, 8)) : "";
  const who = own ? (row.role === "user" ? "Task for " + own : own) : SPEAKERS.get(row.role) || row.role;
  const long = row.text.length > 2400 || row.text.split("\n").length > 30;
  const body = el("div", { class: "text markdown data" }, renderMarkdown(row.text));
  const node = el(
    "article",
    { class: "msg " + (row.role === "user" ? "user" : "other") + (long ? " long" : "") },
    el(
      "header",
      {},
      el("b", { class: "data", text: who }),
      el("time", { class: "num", text: clock(row.at) }),
      row.model ? el("span", { class: "model data", text: row.model }) : null,
      row.truncated ? el("span", { text: "cut here" }) : null,
    ),
    body,
  );
  if (long)
    node.append(
      el("button", {
        class: "more",
        type: "button",
        text: "Show all / less",
        on: { click: () => node.classList.toggle("open") },
      }),
    );
  return node;
}

const NOTICE_MARKS = new Map([
  ["gap", "⋯"],
  ["error", "✕"],
  ["warning", "!"],
]);

/** A line about the session: its start, its end, an error, a gap. */
export function renderNotice(row) {
  return el(
    "div",
    { class: "mark " + row.severity },
    shape(NOTICE_MARKS.get(row.severity) || "·"),
    el("time", { class: "num", text: clock(row.at) }),
    el("span", { class: "data", text: row.text }),
  );
}
