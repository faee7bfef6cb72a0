// A tool call in words: what a reader wants to know about it, per tool. Pure: a call in, a description out.

import { describerOf } from "./describers.js";
import { count, dict, line, num, plural, span, str } from "../plain.js";
import { exitCode, withoutExit } from "./results.js";
import { firstLine, lineCount, relativePath, terminalText, visible } from "../text/text.js";

const NOTICED = 1000; // ms; a call that took less is not worth a number
const MAX_OUTPUT = 16384; // characters of one text in a detail, as in an event

/**
 * @typedef {{kind: "diff", edit: import("./edits.js").Edit}
 *   | {kind: "command"|"output"|"prose"|"markdown"|"note", text: string}
 *   | {kind: "fields", fields: [string, string][]} | {kind: "links", links: {href: string, title: string}[]}
 *   | {kind: "todos", todos: {status: string, text: string}[]}
 *   | {kind: "questions", questions: {header: string, question: string, several: boolean, answer: string,
 *      options: {label: string, description: string, chosen: boolean}[]}[]}} Part
 * @typedef {{label: string, subject: string, code: boolean, facts: string[], path: string,
 *   state: "running"|"done"|"failed"|"declined"|"unfinished", took: string, error: string, parts: Part[],
 *   counts: {added: number, removed: number, partial: boolean}|null}} Description
 *   `code`: the subject is code or a path; `path`: the file as the call names it, or ""; `error`: a failure's first
 *   line, or that the user declined or interrupted the call, which is no failure
 */

/**
 * Describe a call. Wrong types anywhere in its input count as absent.
 * @param {object} call an entry of the session's `calls`
 * @param {{workingDir?: string, over?: boolean}} [context] `over`: the session has ended, so nothing is running
 * @returns {Description}
 */
export function describe(call, context = {}) {
  const input = dict(call.input),
    summary = str(call.summary).slice(0, MAX_OUTPUT);
  const tool = str(call.tool);
  const state = stateOf(call, context);
  const about = describerOf(tool)({
    call,
    tool,
    input,
    summary,
    state,
    path: (value) => relativePath(str(value), context.workingDir),
  });
  const base = { label: tool, subject: "", code: false, facts: [], path: "", parts: [], counts: null };
  const description = {
    ...base,
    state,
    took: num(call.durationMs) >= NOTICED ? span(call.durationMs) : "",
    error: "",
    ...about,
  };
  description.label = line(visible(str(description.label)), 120) || "Tool call";
  description.subject = line(visible(description.subject), 300);
  if (state === "failed") fail(description, summary);
  if (call.truncated)
    description.parts.push({ kind: "note", text: "The event holds only the beginning of a long text." });
  return description;
}

/** "running", "done", "failed", or "unfinished": the session ended first. */
export function stateOf(call, context = {}) {
  if (call.ok === true) return "done";
  if (call.ok === false) return "failed";
  return context.over || call.endAt ? "unfinished" : "running";
}

function fail(description, summary) {
  const reason = summary.replace(/<\/?tool_use_error>/g, "").replace(/^Error:\s*/, "");
  const exit = exitCode(summary);
  const declined = refusal(reason);
  if (declined) description.state = "declined";
  description.error = declined ?? firstLine(terminalText(exit === null ? reason : withoutExit(summary)));
  if (exit !== null) description.facts.push("exit " + exit);
  const shown = description.parts.some((part) => part.kind === "output");
  if (!shown && !declined && lineCount(reason.trim()) > 1)
    description.parts.push({ kind: "output", text: terminalText(reason.trim()) });
}

/** Claude Code's long words for what the user did, in short ones. */
function refusal(reason) {
  if (/^The user doesn't want to (proceed|take this action)/.test(reason)) return "Declined by the user";
  return /^\[?Request interrupted by user/.test(reason) ? "Interrupted by the user" : null;
}

/** How much an agent has done so far: "12 calls · 34k tokens". */
export function agentNumbers({ toolUses, tokens }) {
  const calls = num(toolUses),
    spent = num(tokens);
  return [calls ? plural(calls, "call") : "", spent ? count(spent) + " tokens" : ""].filter(Boolean).join(" · ");
}
