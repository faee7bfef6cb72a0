// The Changes view: the files a session touched, each with its edits in order.

import { changedFiles } from "../tools/changes.js";
import { plural, str } from "../plain.js";
import { renderCounts, renderDiff } from "./diff.js";
import { el } from "./dom.js";
import { disclosure, rowActions, shownPath } from "./tool.js";

const MAX_FILES = 300; // listed; the first so many
const MAX_OPEN_ROWS = 150; // of diffs that are open from the start: about two screens
const MAX_CHANGES = 100; // shown of one file: the newest

/**
 * @param {object} state the session
 * @param {import("./tool.js").RowContext & {file?: string}} ctx `file`: the path to show open and alone to look at
 * @returns {HTMLElement}
 */
export function renderChanges(state, ctx) {
  const { files, added, removed, partial } = changedFiles(state, ctx);
  if (!files.length) return nothing();
  let rows = 0;
  const items = files.slice(0, MAX_FILES).map((file) => {
    rows += rowCount(file);
    return renderFile(file, state, ctx, ctx.file ? file.path === ctx.file : rows <= MAX_OPEN_ROWS);
  });
  const head = el(
    "p",
    { class: "changes-sum" },
    el("b", { text: plural(files.length, "file") + " changed" }),
    renderCounts({ added, removed, partial }),
  );
  const more =
    files.length > MAX_FILES
      ? el("p", { class: "part-note", text: plural(files.length - MAX_FILES, "more file") + " not listed." })
      : null;
  const note = el("p", {
    class: "part-note",
    text: "Taken from Claude's edits. Files that commands changed are not listed.",
  });
  return el("div", { class: "changes" }, head, items, more, note);
}

function nothing() {
  const text = "What Claude edits or writes appears here, file by file. Files that commands change are not listed.";
  return el("div", { class: "changes empty" }, el("b", { text: "No file was edited yet." }), el("p", { text }));
}

const rowCount = (file) =>
  file.changes.reduce(
    (sum, change) => sum + change.edits.edits.reduce((rows, edit) => rows + edit.diff.rows.length, 0),
    0,
  );

function renderFile(file, state, ctx, open) {
  const facts = [
    file.created ? "new" : "",
    file.changes.length > 1 ? plural(file.changes.length, "change") : "",
  ].filter(Boolean);
  const summary = el(
    "summary",
    {},
    el("code", { class: "changes-path data", text: shownPath(file.path, ctx) }),
    facts.length ? el("span", { class: "call-facts", text: facts.join(" · ") }) : null,
    renderCounts(file),
  );
  const left = file.changes.length - MAX_CHANGES;
  const body = () => [
    left > 0 ? el("p", { class: "part-note", text: plural(left, "earlier change") + " not shown." }) : null,
    ...file.changes.slice(-MAX_CHANGES).map((change) => renderChange(change, state, ctx)),
  ];
  return el(
    "div",
    { class: "changes-file", data: { path: file.path } },
    disclosure("file:" + file.path, ctx, summary, body, open),
  );
}

function renderChange(change, state, ctx) {
  const agent = change.agentId ? agentName(state, change.agentId) : "";
  const at = new Date(change.at);
  const head = el(
    "p",
    { class: "change-head" },
    el("time", { datetime: at.toISOString(), text: at.toLocaleTimeString("en-GB") }),
    agent ? el("span", { class: "data", text: agent }) : null,
    change.state === "done"
      ? null
      : el("span", { text: change.state === "running" ? "not finished yet" : "no result" }),
    rowActions(change.seq, ctx),
  );
  return el("div", { class: "change" }, head, change.edits.edits.map(renderDiff));
}

function agentName(state, agentId) {
  for (const agent of state.agents.values()) if (agent.agentId === agentId) return str(agent.agent) || "agent";
  return "agent";
}
