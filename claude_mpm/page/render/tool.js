// Rows of work in a conversation: a tool call, folded changes of the todo list, an agent's card.

import { agentAnswer } from "../tools/results.js";
import { agentNumbers, describe } from "../tools/tools.js";
import { num, plural, running, span, str } from "../plain.js";
import { firstLine, relativePath, visible } from "../text/text.js";
import { renderCounts } from "./diff.js";
import { el } from "./dom.js";
import { renderPart } from "./parts.js";

export { foldCalls } from "../fold.js";

const MAX_OPEN_DIFF = 12; // rows of a diff that is shown without a click
const STEP_MARKS = new Map([
  ["added", "○"],
  ["started", "▸"],
  ["completed", "✔"],
  ["reopened", "○"],
  ["removed", "−"],
  ["changed", "·"],
]);
const STEP_WORDS = new Map([
  ["added", "new"],
  ["started", "started"],
  ["completed", "done"],
  ["reopened", "open again"],
  ["removed", "removed"],
  ["changed", "changed"],
]);

/**
 * @typedef {{workingDir?: string, now?: number, over?: boolean, opened?: Map<string, boolean>,
 *   onAgent?: function(string): void, onRaw?: function(number): void, onFile?: function(string): void}} RowContext
 *   `over`: nothing runs any more, in a session that ended or was lost; `opened`: which details the reader opened and
 *   closed, by key, so that a row made anew looks as it was left
 */

/**
 * One row of foldCalls(): of kind "call", "todos" or "delegation". Null for other kinds, and when what the row refers
 * to is gone.
 * @param {object} row
 * @param {object} state the session
 * @param {RowContext} ctx
 * @returns {HTMLElement|null}
 */
export function renderRow(row, state, ctx) {
  if (row.kind === "todos") return renderTodos(row, ctx);
  if (row.kind === "delegation") {
    const agent = state.agents.get(row.key);
    return agent ? renderAgent(agent, ctx, { seq: row.seq, call: state.calls.get(agent.toolUseId) }) : null;
  }
  const call = row.kind === "call" ? state.calls.get(row.id) : null;
  return call ? renderCall(call, ctx) : null;
}

/**
 * A tool call: one line that says what it is about, with the detail under it. A short diff is open from the start.
 * @param {object} call an entry of the session's `calls`
 * @param {RowContext} ctx
 * @returns {HTMLElement}
 */
export function renderCall(call, ctx) {
  const about = describe(call, ctx);
  const details = disclosure(
    "call:" + call.id,
    ctx,
    callSummary(about, call, ctx),
    () => callBody(about),
    opensAtOnce(about),
  );
  const row = el(
    "div",
    { class: "call", data: { state: about.state, tool: str(call.tool), seq: call.seq } },
    details,
    rowActions(call.seq, ctx, about.counts ? about.path : ""),
  );
  if (about.error) row.append(el("p", { class: "call-error data", text: about.error }));
  return row;
}

function callSummary(about, call, ctx) {
  const facts = about.facts.filter(Boolean).join(" · ");
  return el(
    "summary",
    {},
    el("span", { class: "call-label data", text: about.label }),
    about.subject
      ? el(about.code ? "code" : "span", { class: "call-subject data", title: about.subject, text: about.subject })
      : null,
    about.error || about.state === "failed" ? null : renderCounts(about.counts),
    facts ? el("span", { class: "call-facts data", text: facts }) : null,
    stateText(about, call, ctx),
  );
}

/** The end of the line: how long it took, or what has become of it. */
function stateText(about, call, ctx) {
  if (about.state === "running") return runningTime(call.at, ctx);
  if (about.state === "unfinished") return el("span", { class: "call-time", text: "no result" });
  const words = [about.state === "failed" ? "failed" : "", about.took].filter(Boolean).join(" · ");
  return words ? el("span", { class: "call-time", text: words }) : null;
}

function runningTime(since, { now }) {
  return el("span", { class: "call-time", data: { since }, text: runningText(since, now) });
}

const runningText = (since, now) => (now - since >= 1000 ? "running " + running(now - since) : "running");

/**
 * Bring the running times below `root` up to date; call it about once a second.
 * @param {Element} root
 * @param {number} now ms since the epoch
 */
export function tickRunning(root, now) {
  for (const element of root.querySelectorAll("[data-since]")) {
    const text = runningText(Number(element.dataset.since), now);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** A short diff, a plan, and a question that waits for its answer are read by everybody. */
function opensAtOnce({ label, state, parts }) {
  if (state === "failed" || state === "declined") return false;
  if (parts.some((part) => part.kind === "questions")) return state === "running";
  if (label === "Plan") return true;
  const rows = parts.reduce((sum, part) => sum + (part.kind === "diff" ? part.edit.diff.rows.length : 0), 0);
  return rows > 0 && rows <= MAX_OPEN_DIFF;
}

function callBody(about) {
  const parts = about.parts.map(renderPart);
  const nothing = about.state === "running" ? "No result yet." : "Nothing more is known.";
  return parts.length ? parts : [el("p", { class: "part-note", text: nothing })];
}

/** A details element whose body is made when it is first opened: most never are. */
export function disclosure(key, ctx, summary, body, openByDefault = false) {
  const details = el("details", { open: ctx.opened?.get(key) ?? openByDefault }, summary);
  const fill = () => {
    if (details.open && details.childElementCount === 1) details.append(el("div", { class: "call-body" }, body()));
  };
  fill();
  details.addEventListener("toggle", () => {
    fill();
    if (details.isConnected && details.open !== (ctx.opened?.get(key) ?? openByDefault))
      ctx.opened?.set(key, details.open);
  });
  return details;
}

/** What stands at the end of a row: the way to the raw event and, for an edit, to all changes of its file. */
export function rowActions(seq, ctx, path = "") {
  const file = path && ctx.onFile ? actionButton("±", "All changes to this file", () => ctx.onFile(path)) : null;
  const raw = ctx.onRaw ? actionButton("{ }", "Show event " + seq, () => ctx.onRaw(seq)) : null;
  return el("span", { class: "row-actions" }, file, raw);
}

const actionButton = (mark, title, run) =>
  el("button", { class: "row-action", type: "button", title, "aria-label": title, text: mark, on: { click: run } });

/**
 * Consecutive changes of the todo list in one line.
 * @param {import("../fold.js").TodosRow} row
 * @param {RowContext} ctx
 * @returns {HTMLElement}
 */
export function renderTodos(row, ctx) {
  const all = row.steps.map(renderStep);
  if (all.length === 1)
    return el("div", { class: "todos" }, el("div", { class: "todos-line" }, all), rowActions(row.seq, ctx));
  const summary = el("summary", {}, el("span", { class: "todos-line" }, digest(row.steps)));
  const list = () => [
    el(
      "ul",
      { class: "todos-all" },
      row.steps.map((step) => el("li", {}, renderStep(step))),
    ),
  ];
  return el("div", { class: "todos" }, disclosure("todos:" + row.seq, ctx, summary, list), rowActions(row.seq, ctx));
}

const renderStep = ({ mark, text }) =>
  el(
    "span",
    { class: "step", data: { mark } },
    el("span", { class: "step-mark", role: "img", "aria-label": STEP_WORDS.get(mark), text: STEP_MARKS.get(mark) }),
    el("span", { class: "data", text }),
  );

/** What was finished and begun by name, what was added as a number: "✔ Reproduce it ▸ Fix it ○ 6 new todos". */
function digest(steps) {
  const last = new Map();
  for (const step of steps) last.set(step.text, step); // started and completed in one run: completed is what counts
  const kept = [...last.values()];
  const added = kept.filter((step) => step.mark === "added");
  const named = kept.filter((step) => step.mark !== "added" || added.length === 1);
  const shown = named.slice(0, 4);
  if (named.length > shown.length) shown.push({ mark: "changed", text: named.length - shown.length + " more" });
  if (added.length > 1) shown.push({ mark: "added", text: plural(added.length, "new todo") });
  return shown.map(renderStep);
}

/**
 * An agent's card: who, what, how it stands, and the way into its thread.
 * @param {object} agent an entry of the session's `agents`
 * @param {RowContext} ctx
 * @param {{seq?: number, call?: object}} [from] the delegation's event, and the call that made it
 * @returns {HTMLElement}
 */
export function renderAgent(agent, ctx, { seq, call } = {}) {
  const state =
    agent.status === "started"
      ? ctx.over
        ? "unfinished"
        : "running"
      : agent.status === "failed"
        ? "failed"
        : "done";
  const head = el(
    "div",
    { class: "agent-head" },
    el("b", { class: "agent-name data", text: str(agent.agent) || "Agent" }),
    el("span", { class: "agent-task data", text: firstLine(visible(str(agent.task))) }),
    el("button", {
      class: "agent-open",
      type: "button",
      text: "Open thread",
      on: { click: () => ctx.onAgent?.(agent.key) },
    }),
    seq === undefined ? null : rowActions(seq, ctx),
  );
  const card = el(
    "div",
    { class: "agent-card", data: { state, background: agent.background ? "yes" : "no" } },
    head,
    agentLine(agent, state, ctx),
  );
  if (state === "failed" && agent.reason)
    card.append(el("p", { class: "call-error data", text: firstLine(visible(str(agent.reason))) }));
  const answer = call && state !== "failed" ? firstLine(agentAnswer(str(call.summary))) : "";
  if (answer) card.append(el("p", { class: "agent-answer data", text: answer }));
  return card;
}

function agentLine(agent, state, ctx) {
  const words = { running: "", done: "done", failed: "failed", unfinished: "no result" }[state];
  const took =
    state === "running" ? "" : span(num(agent.durationMs) ?? (agent.endAt ? agent.endAt - agent.at : null));
  const parts = [words, agent.background ? "in background" : "", took, agentNumbers(agent)]
    .filter(Boolean)
    .join(" · ");
  const time = state === "running" ? runningTime(agent.at, ctx) : null;
  return el("p", { class: "agent-line" }, time, time && parts ? " · " + parts : parts);
}

/** The path a file has on screen: relative to the working directory where it is inside it. */
export const shownPath = (path, { workingDir }) => visible(relativePath(path, workingDir));
