// One edit as a diff: a row per line, numbers and signs drawn by the style sheet so that copying takes the code alone.

import { plural } from "../plain.js";
import { el } from "./dom.js";

/**
 * @param {import("../tools/edits.js").Edit} edit
 * @returns {HTMLElement}
 */
export function renderDiff({ diff, everywhere, note }) {
  const numbered = diff.rows.some((row) => row.oldNumber || row.newNumber);
  const onlyNew = diff.rows.every((row) => row.kind === "added" || row.kind === "cut");
  const parts = [
    note ? el("p", { class: "diff-note", text: note }) : null,
    everywhere ? el("p", { class: "diff-note", text: "Every occurrence was replaced." }) : null,
    diff.rows.length ? el("div", { class: "diff-rows" }, diff.rows.map(renderRow)) : null,
  ];
  const kind = (numbered ? " numbered" : "") + (onlyNew ? " only-new" : "");
  return el("div", { class: "diff" + kind, tabindex: 0, role: "group", "aria-label": spoken(diff) }, parts);
}

const spoken = ({ added, removed }) => plural(added, "line") + " added, " + plural(removed, "line") + " removed";

function renderRow(row) {
  if (row.kind === "gap") return el("div", { class: "diff-row gap", text: plural(row.count, "unchanged line") });
  if (row.kind === "cut")
    return el("div", { class: "diff-row gap", text: plural(row.count, "more line") + " not shown" });
  const numbers = { old: row.oldNumber ?? "", new: row.newNumber ?? "" };
  const pieces = row.pieces.map(({ text, changed }) => (changed ? el("mark", { text }) : text));
  return el("div", { class: "diff-row " + row.kind, data: numbers }, pieces);
}

/**
 * "+12 −4", or null where nothing is known to have changed; "at least" where a part of the input is unknown.
 * @param {{added: number, removed: number, partial: boolean}|null} counts
 * @returns {HTMLElement|null}
 */
export function renderCounts(counts) {
  if (!counts || (!counts.added && !counts.removed)) return null;
  const { added, removed, partial } = counts;
  const parts = [
    added ? el("span", { class: "count-added", text: "+" + added }) : null,
    removed ? el("span", { class: "count-removed", text: "−" + removed }) : null,
  ];
  const title = spoken(counts) + (partial ? ", or more: only a part of the input is known" : "");
  return el("span", { class: "counts", title }, partial ? "≥ " : null, parts);
}
