// The edits a tool call makes to a file, read from the call alone: nothing is read from disk. Pure.

import { diffLines, toLines } from "./diff.js";
import { dict, list, str } from "../plain.js";

export const EDIT_TOOLS = new Set(["Edit", "Write", "MultiEdit", "NotebookEdit"]);
const MAX_EDITS = 100; // of one MultiEdit

/**
 * @typedef {{diff: import("./diff.js").Diff, everywhere: boolean, note: string}} Edit one replaced or written text;
 *   `everywhere`: each occurrence was replaced; `note`: what the diff cannot show, or ""
 * @typedef {{path: string, edits: Edit[], added: number, removed: number, partial: boolean,
 *   created: boolean}} FileEdits
 *   `partial`: the event holds only a part of the input, so that the counts are lower bounds
 */

const known = new WeakMap(); // a call's input -> {summary, edits}: both never change once they are there

/**
 * What a call of EDIT_TOOLS does to its file.
 * @param {{tool: string, input: unknown, summary: string|null, truncated: boolean}} call
 * @returns {FileEdits}
 */
export function fileEdits(call) {
  const input = dict(call.input),
    summary = str(call.summary);
  const before = known.get(input);
  if (before && before.summary === summary) return before.edits;
  const edits = readEdits(call, input, summary);
  known.set(input, { summary, edits });
  return edits;
}

function readEdits(call, input, summary) {
  const edits = READERS.get(call.tool)?.(input, summary) ?? [];
  return {
    path: str(input.file_path) || str(input.notebook_path),
    edits,
    added: edits.reduce((sum, edit) => sum + edit.diff.added, 0),
    removed: edits.reduce((sum, edit) => sum + edit.diff.removed, 0),
    partial: Boolean(call.truncated) && isCut(call.tool, input),
    created: call.tool === "Write" && /\bcreated\b/i.test(summary.slice(0, 200)),
  };
}

/** `truncated` of a call is set for a cut input and for a cut result alike; only the former makes a diff partial. */
const isCut = (tool, input) =>
  JSON.stringify(input).length > 15000 || (tool === "Edit" && str(input.new_string) !== input.new_string);

const READERS = new Map([
  ["Edit", (input, summary) => [replacement(input, summary)]],
  [
    "MultiEdit",
    (input) =>
      list(input.edits)
        .slice(0, MAX_EDITS)
        .map((edit) => replacement(dict(edit), "")),
  ],
  ["Write", (input, summary) => [written(str(input.content), summary)]],
  ["NotebookEdit", (input) => [notebookCell(input)]],
]);

function replacement(edit, summary) {
  const before = str(edit.old_string),
    after = str(edit.new_string);
  const everywhere = edit.replace_all === true;
  const firstLine = everywhere ? null : before === "" ? 1 : lineInSnippet(summary, after);
  return { diff: diffLines(before, after, { firstLine }), everywhere, note: "" };
}

function written(content, summary) {
  const replaced = /\bupdated\b/i.test(summary.slice(0, 200));
  const note = replaced ? "The whole file was written; what it held before is not in the call." : "";
  return { diff: diffLines("", content, { firstLine: 1 }), everywhere: false, note };
}

function notebookCell(input) {
  const source = str(input.new_source),
    cell = str(input.cell_id);
  const mode = str(input.edit_mode) || "replace";
  const place = cell ? "cell " + cell : "a cell";
  if (mode === "delete") return { diff: diffLines("", ""), everywhere: false, note: "Deleted " + place + "." };
  const note =
    mode === "insert" ? "Inserted after " + place + "." : "Replaced " + place + "; its old text is not in the call.";
  return { diff: diffLines("", source), everywhere: false, note };
}

/**
 * The line at which the new text begins, from the numbered snippet ("   12→text", Claude Code 1.x and 2.0) in the
 * result of Edit; null where the result has none, or has the text at more than one place.
 */
function lineInSnippet(summary, text) {
  const wanted = toLines(text);
  const lines = summary
    .split("\n")
    .map((line) => /^\s*(\d{1,7})[→\t](.*)$/.exec(line))
    .filter(Boolean);
  if (!wanted.length || !lines.length) return null;
  const begins = (at) => wanted.every((line, offset) => holds(lines[at + offset]?.[2], line, offset, wanted.length));
  const places = lines.map((_, at) => at).filter(begins);
  return places.length === 1 ? Number(lines[places[0]][1]) : null;
}

/** An edit may begin and end within a line: its first line is a line's end, its last one a line's beginning. */
function holds(line, wanted, offset, count) {
  if (line === undefined) return false;
  if (count === 1) return line.includes(wanted);
  return offset === 0 ? line.endsWith(wanted) : offset === count - 1 ? line.startsWith(wanted) : line === wanted;
}
