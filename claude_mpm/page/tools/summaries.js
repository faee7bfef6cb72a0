// One line for each kind of event. Pure.

import { dict, line, list, num, plural, span, str } from "../plain.js";
import { brief, endText, gapText } from "../text/phrases.js";

const SUMMARIES = new Map([
  ["claude.output", (d) => str(d.content)],
  ["claude.message", (d) => (d.agent_id ? "[" + line(d.agent_id, 12) + "] " : "") + str(d.role) + ": " + line(d.text)],
  [
    "claude.status",
    (d) =>
      [d.status, d.activity, d.waiting_for && "for " + str(dict(d.waiting_for).kind || d.waiting_for), d.message]
        .filter(Boolean)
        .map((v) => line(v))
        .join(" · "),
  ],
  ["tool.start", (d) => str(d.tool) + "  " + brief(d.input)],
  [
    "tool.end",
    (d) =>
      str(d.tool) +
      (d.ok === false ? "  failed  " : "  ") +
      (span(num(d.duration_ms)) ? span(num(d.duration_ms)) + "  " : "") +
      line(d.summary),
  ],
  ["agent.delegation", (d) => str(d.agent) + " " + str(d.status) + ": " + line(d.task)],
  ["agent.status", (d) => plural(list(d.active_agents).length, "agent") + " active"],
  [
    "todo.update",
    (d) => {
      const current = list(d.todos)
          .filter((t) => dict(t).status === "in_progress")
          .map((t) => str(t.content))
          .join(", "),
        stats = dict(d.stats);
      return str(stats.completed) + " of " + str(stats.total) + " done" + (current ? ": " + current : "");
    },
  ],
  [
    "claude.usage",
    (d) =>
      [
        str(d.model),
        num(d.context_percent) !== null && Math.round(d.context_percent) + " % context",
        num(d.cost_usd) !== null && "$" + d.cost_usd.toFixed(2),
      ]
        .filter(Boolean)
        .join(" · "),
  ],
  ["session.start", (d) => str(d.reason) + " " + str(d.session_id)],
  ["session.end", (d) => endText(d)],
  ["system.error", (d) => str(d.error)],
  ["system.gap", (d) => gapText(d)],
  ["system.status", (d) => str(d.claude_status) + " · " + plural(num(d.connected_clients) || 0, "client")],
]);
/** One line that says what an event says. */
export const summary = (type, data) => (SUMMARIES.get(type) || ((d) => JSON.stringify(d)))(data);
