import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { changedFiles } from "../../claude_mpm/page/tools/changes.js";
import { fileEdits } from "../../claude_mpm/page/tools/edits.js";
import { foldCalls } from "../../claude_mpm/page/fold.js";
import { agentNumbers, describe } from "../../claude_mpm/page/tools/tools.js";
import { agent, call, state } from "./session.mjs";
import { CALLS, hostileCalls, stateOf, story } from "./work_story.mjs";

const CONTEXT = { workingDir: "/src" };
const about = (tool, number = 0) => describe(CALLS.filter(([, one]) => one.tool === tool)[number][1], CONTEXT);
const one = (tool, input, part = {}) => describe(call("c", 1, { tool, input, ok: true, endAt: 2, ...part })[1], CONTEXT);
const kinds = (description) => description.parts.map((part) => part.kind);

test("a command is named by its description, with output and exit code", () => {
  const { label, subject, facts, state: how, error, took, parts } = about("Bash");
  assert.deepEqual([label, subject, facts, how, took], ["Run the word tests", "pytest -q tests/test_words.py", ["exit 1"], "failed", "6.0 s"]);
  assert.equal(error, "E   AssertionError: assert ['caf'] == ['café']");
  assert.deepEqual(parts.map((part) => part.text.split("\n").length), [1, 2]);
  assert.deepEqual(kinds(one("Bash", { command: "true" }, { summary: "(Bash completed with no output)" })), ["command", "note"]);
});

test("no time is told that nobody waited for", () => {
  assert.equal(about("Quux").took, "");
  assert.equal(one("Bash", {}, { durationMs: 1234 }).took, "1.2 s");
});

test("an edit is a diff with the numbers that its result tells", () => {
  const edit = about("Edit");
  assert.deepEqual([edit.label, edit.subject, edit.path, edit.counts], ["Edit", "tally/words.py", "/src/tally/words.py", { added: 1, removed: 1, partial: false }]);
  assert.deepEqual(edit.parts[0].edit.diff.rows.map((row) => [row.oldNumber, row.newNumber]), [[3, null], [null, 3]]);
  assert.equal(about("Write").label, "Create");
  assert.deepEqual(about("MultiEdit").facts, ["2 edits", "every occurrence"]);
  assert.deepEqual(kinds(about("NotebookEdit")), ["diff"]);
});

test("an edit whose text is at two places in the result, or not there, has no line numbers", () => {
  const first = (summary) => fileEdits({ tool: "Edit", input: { file_path: "a", old_string: "x", new_string: "y" }, summary }).edits[0].diff.rows[0].oldNumber;
  assert.deepEqual([first("   7→y"), first("   7→y\n   8→y"), first("   7→z"), first("updated")], [7, null, null, null]);
});

test("reading and searching say where and how much", () => {
  assert.deepEqual([about("Read").subject, about("Read").facts], ["tally/words.py", ["3 lines"]]);
  assert.deepEqual(one("Read", { file_path: "a", offset: 10, limit: 5 }).facts, ["lines 10–14"]);
  assert.equal(about("Read").parts[0].text.split("\n")[2], "     3  WORD = re.compile(r\"[a-zA-Z]+\")");
  assert.deepEqual([about("Grep").subject, about("Grep").facts], ["re\\.compile", ["in tally", "2 matches"]]);
  assert.equal(about("Grep").parts[0].text, "Found 2 files\ntally/words.py\ntally/report.py");
  assert.deepEqual(about("Glob").facts, ["nothing found"]);
});

test("the web: address and titles, links only to http and https", () => {
  assert.equal(about("WebFetch").subject, "unicode.org/reports/tr29/");
  assert.deepEqual(about("WebSearch").parts[0].links, [{ href: "https://unicode.org/reports/tr29/", title: "UAX #29: Text Segmentation" }]);
  assert.deepEqual(kinds(one("WebFetch", { url: "javascript:alert(1)" })), ["prose"]);
});

test("plans, questions with answers, MCP tools and unknown tools", () => {
  assert.deepEqual([about("ExitPlanMode").subject, kinds(about("ExitPlanMode"))], ["The plan", ["markdown"]]);
  const question = about("AskUserQuestion");
  assert.deepEqual(question.facts, ["→ Blue · S, M"]);
  assert.deepEqual(question.parts[0].questions.map((entry) => entry.options.map((option) => option.chosen)), [[false, true], [true, true]]);
  assert.equal(about("mcp__issue_tracker__create_issue").label, "issue tracker · create issue");
  assert.deepEqual(about("mcp__issue_tracker__create_issue").parts[0].fields.map(([key]) => key), ["title", "labels", "body"]);
  assert.deepEqual(about("Quux").parts[0].fields, [["first", "value"], ["second", "2"]]);
});

test("an answer that only the result tells is found there", () => {
  const input = { questions: [{ question: "Which?", options: [{ label: "A" }, { label: "B" }] }] };
  const { parts } = one("AskUserQuestion", input, { summary: 'User has answered your questions: "Which?"="B". You can now continue.' });
  assert.equal(parts[0].questions[0].answer, "B");
});

test("what the user declined or interrupted is no failure", () => {
  assert.deepEqual([about("Edit", 1).state, about("Edit", 1).error], ["declined", "Declined by the user"]);
  const { state: how, error } = one("Bash", { command: "sleep 9" }, { ok: false, summary: "[Request interrupted by user for tool use]" });
  assert.deepEqual([how, error], ["declined", "Interrupted by the user"]);
});

test("a call without an end runs, and after the session's end it has no result", () => {
  const [, open] = call("c", 1, {});
  assert.deepEqual([describe(open).state, describe(open, { over: true }).state], ["running", "unfinished"]);
});

test("consecutive changes of the todo list become one row, with the names of the tasks", () => {
  const rows = foldCalls(story().rows, story());
  const steps = rows.filter((row) => row.kind === "todos").map((row) => row.steps.map(({ mark, text }) => mark + " " + text));
  assert.deepEqual(steps, [
    ["added Reproduce the bug", "added Fix the splitter", "started Reproduce the bug"],
    ["completed Reproduce the bug", "started Fix the splitter"],
    ["completed Plan", "started Do"],
  ]);
});

test("a task's name comes from the newest creation before the update, else from the todo list", () => {
  const made = (id, at, subject, number) => call(id, at, { tool: "TaskCreate", input: { subject }, ok: true, summary: `Task #${number} created successfully: ${subject}` });
  const done = (id, at, taskId) => call(id, at, { tool: "TaskUpdate", input: { taskId, status: "completed" }, ok: true, summary: "" });
  const session = stateOf([made("a", 1, "Old", 1), done("b", 2, "1"), made("c", 3, "New", 1), done("d", 4, "1"), done("e", 5, "9"), done("f", 6, "8")],
    { todos: { todos: [{ id: "9", content: "Listed" }], stats: {}, at: 1 } });
  const [row] = foldCalls(session.rows, session);
  assert.deepEqual(row.steps.map((step) => step.text), ["Old", "Old", "New", "New", "Listed", "Todo 8"]);
});

test("TodoWrite tells what changed since the list before it, per agent", () => {
  const write = (id, at, todos, agentId = null) => call(id, at, { tool: "TodoWrite", agentId, ok: true, input: { todos: todos.map(([content, status]) => ({ content, status })) } });
  const session = stateOf([write("a", 1, [["x", "pending"], ["y", "pending"]]), call("r", 2, { tool: "Read", ok: true }), write("b", 3, [["z", "pending"]], "other"),
    call("s", 4, { tool: "Read", ok: true }), write("c", 5, [["x", "completed"]])]);
  const rows = foldCalls(session.rows, session);
  assert.deepEqual(rows.at(-1).steps.map(({ mark, text }) => mark + " " + text), ["completed x", "removed y"]);
  assert.deepEqual(rows[2].steps.map((step) => step.text), ["z"]);
});

test("a failed todo call stays a row of its own, and one that only reads disappears", () => {
  const session = stateOf([call("a", 1, { tool: "TaskList", ok: true }), call("b", 2, { tool: "TaskUpdate", input: { taskId: "1" }, ok: false, summary: "no such task" })]);
  assert.deepEqual(foldCalls(session.rows, session).map((row) => row.id), ["b"]);
});

test("an agent's call gives way to its delegation, and stays where there is none", () => {
  const session = stateOf([call("t1", 1, { tool: "Agent", input: {} }), call("t2", 2, { tool: "Task", input: {} })], { agents: new Map([agent("k", 1, { toolUseId: "t1" })]) });
  assert.deepEqual(foldCalls([...session.rows, { kind: "delegation", seq: 3, at: 3, key: "k" }], session).map((row) => row.id ?? row.key), ["t2", "k"]);
});

test("an agent's numbers leave out what is unknown", () => {
  assert.equal(agentNumbers({ toolUses: 12, tokens: 34123 }), "12 calls · 34k tokens");
  assert.equal(agentNumbers({ toolUses: 0, tokens: null }), "");
});

test("the files a session touched, in order, without what failed", () => {
  const { files, added, removed } = changedFiles(story());
  assert.deepEqual(files.map((file) => [file.path, file.added, file.removed, file.created]), [
    ["/src/tally/words.py", 1, 1, false], ["/src/tests/test_new.py", 2, 0, true], ["/src/tally/report.py", 2, 2, false], ["/src/n.ipynb", 1, 0, false],
  ]);
  assert.deepEqual([added, removed], [6, 3]);
  assert.deepEqual(changedFiles(state()).files, []);
});

test("wrong types, huge texts and names of built-ins are data, in every field of every tool", () => {
  const calls = hostileCalls();
  const session = stateOf(calls, { todos: { todos: [null, 5, { id: {} }], stats: {}, at: 1 } });
  for (const [, one] of calls) {
    const description = describe(one, { workingDir: "/src" });
    assert.equal(typeof description.label + typeof description.subject + typeof description.error, "stringstringstring");
    assert.ok(description.label.length <= 400 && description.subject.length <= 301);
    assert.doesNotMatch(description.label + description.subject + description.facts.join(""), /[\x00-\x08\x1b\u202e\u2066]/);
  }
  foldCalls(session.rows, session);
  changedFiles(session);
});

const DATA = new URL("../data/", import.meta.url);

/** The calls of a recorded session, as the events tell them: every tool_use, with the text of its tool_result. */
function recorded(path) {
  const calls = new Map();
  for (const line of readFileSync(new URL(path, DATA), "utf8").split("\n").filter(Boolean)) {
    const content = JSON.parse(line).message?.content;
    for (const block of Array.isArray(content) ? content : []) {
      if (block.type === "tool_use") calls.set(...call(block.id, calls.size + 1, { tool: block.name, input: block.input }));
      const ended = block.type === "tool_result" && calls.get(block.tool_use_id);
      if (!ended) continue;
      const text = Array.isArray(block.content) ? block.content.map((part) => part.text ?? "").join("\n") : block.content;
      calls.set(ended.id, { ...ended, ok: block.is_error !== true, endAt: ended.at + 1, summary: text });
    }
  }
  return [...calls];
}

for (const version of ["1.0.128", "2.0.77", "2.1.330"]) {
  test(`every call that Claude Code ${version} recorded is told in words, with its todos by name`, () => {
    const calls = recorded(`transcripts/${version}/22222222-2222-4222-8222-222222222222.jsonl`);
    const session = stateOf(calls);
    const rows = foldCalls(session.rows, session);
    const told = new Set(rows.filter((row) => row.kind === "todos").flatMap((row) => row.steps.map((step) => step.text)));
    assert.deepEqual([...told].sort(), ["Delegate research", "Plan the work", "Summarise"]);
    for (const row of rows.filter((one) => one.kind === "call")) {
      const { label, subject, parts } = describe(session.calls.get(row.id));
      assert.ok(label && subject, row.id);
      assert.equal(parts.some((part) => part.kind === "fields"), false, label);
      assert.doesNotMatch(JSON.stringify(parts), /hand-back|internal metadata|tools-used-before-summary/);
    }
  });
}
