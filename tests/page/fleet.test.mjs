// What the page of a hub is made of, as far as it needs no hub: histories read back, machines, and summaries.

import test from "node:test";
import assert from "node:assert/strict";
import { readBack } from "../../claude_mpm/page/sources/history.js";
import { byMachine, first, matching, share } from "../../claude_mpm/page/groups.js";
import { introduce, sinceWhen, summarise, takeStatus } from "../../claude_mpm/page/summary.js";
import { apply, empty } from "../../claude_mpm/page/reduce.js";
import { gapText } from "../../claude_mpm/page/text/phrases.js";
import { START, event } from "./session.mjs";

const asking = (command) => ({ activity: "waiting", status: "running", claude_status: "running",
  waiting_for: { kind: "permission", tool: "Bash", input: { command }, request_id: "q-1" } });
const waits = (seq, after, command) => event(seq, after, "claude.status", asking(command));

/** An instance that keeps the events `oldest` to `newest`, and notes how it was asked. */
function instance(oldest, newest, asked = []) {
  return async ({ limit, since, before = Infinity }) => {
    asked.push(before);
    const kept = [];
    for (let seq = oldest; seq <= newest; seq++) if (seq > since && seq < before) kept.push(event(seq, seq, "tool.start"));
    return { events: kept.slice(-limit), more: kept.length > limit, oldest_seq: oldest };
  };
}

test("a history is read back page by page and comes out in order", async () => {
  const asked = [], newest = [];
  const onNewest = (events) => newest.push(...events.map((one) => one.seq));
  const { events, oldest } = await readBack(instance(3, 2500, asked), { types: ["*"], onNewest });
  assert.deepEqual(events.map(([one]) => one.seq), Array.from({ length: 2498 }, (_, i) => i + 3));
  assert.equal(oldest, 3);
  assert.deepEqual(asked, [Infinity, 1501, 501]);
  assert.deepEqual([newest[0], newest.at(-1)], [1501, 2500]);
});

test("a history is read on from where it is known", async () => {
  const { events } = await readBack(instance(1, 20), { types: ["*"], since: 17 });
  assert.deepEqual(events.map(([one]) => one.seq), [18, 19, 20]);
});

test("an instance that answers nonsense is not asked for ever", async () => {
  const nonsense = async () => ({ events: [null, {}, { seq: 5, type: "x" }], more: true });
  assert.equal((await readBack(nonsense, { types: ["*"] })).events.length, 2);
  assert.deepEqual(await readBack(async () => ({ more: true }), { types: ["*"] }), { events: [], oldest: 0 });
});

test("machines: the local one first, then by name", () => {
  const sessions = ["c", "a", "here", "a", "__proto__"].map((machine) => ({ machine }));
  const groups = byMachine(sessions, (session) => session.machine, "here");
  assert.deepEqual(groups.map(({ machine, sessions: own }) => [machine, own.length]),
    [["here", 1], ["__proto__", 1], ["a", 2], ["c", 1]]);
});

const numbers = (from, count) => Array.from({ length: count }, (_, i) => from + i);

test("where not all can be shown, those that must be are, and all keep their order", () => {
  assert.deepEqual(first(numbers(0, 10), 4, (n) => n === 7), { shown: [0, 1, 2, 7], hidden: [3, 4, 5, 6, 8, 9] });
  const groups = [{ key: "a", sessions: numbers(0, 50) }, { key: "b", sessions: numbers(100, 50) },
    { key: "c", sessions: numbers(200, 50) }];
  const options = { budget: 8, mostGroups: 2, must: (n) => n > 245, opened: { key: "a", extra: 3 } };
  const { groups: shown, rest } = share(groups, options);
  assert.deepEqual(shown.map((group) => group.shown), [numbers(0, 7), numbers(246, 4)]);
  assert.deepEqual(rest.map((group) => group.key), ["b"]);
  const { groups: all } = share(groups, { ...options, budget: 150, mostGroups: 9 });
  assert.ok(all.every((group) => group.hidden.length === 0));
});

test("a filter takes words in any order and case", () => {
  const fits = matching(" Box  API", (text) => text);
  assert.deepEqual(["api on build-box", "api", "box"].map(fits), [true, false, false]);
});

test("a request that is known in full is not cut by a list that tells it again", () => {
  const state = empty(), whole = "x".repeat(5000);
  apply(state, waits(1, 0, whole));
  takeStatus(state, asking("x".repeat(1000) + "…"));
  const { waiting_for: waiting } = state.status;
  assert.equal(waiting.input.command, whole);
  assert.equal(waiting.since, START);
  takeStatus(state, { ...asking("other"), waiting_for: { ...asking("other").waiting_for, request_id: "q-2" } });
  assert.equal(state.status.waiting_for.input.command, "other");
});

test("since when a session waits comes from its events", () => {
  const working = event(1, 0, "claude.status", { status: "running", activity: "working" });
  const events = [working, waits(2, 5000, "ls"), waits(3, 9000, "ls")];
  assert.equal(sinceWhen(events, { kind: "permission", tool: "Bash" }), START + 5000);
  assert.equal(sinceWhen(events, { kind: "permission", tool: "Edit" }), null);
});

test("a summary stays small, and what is known completes the newest events", () => {
  const state = empty();
  for (let seq = 1; seq <= 100; seq++) {
    apply(state, event(seq, seq, "claude.usage", { tokens: {}, totals: {} }));
    apply(state, waits(seq, seq, "c" + seq));
    summarise(state);
  }
  assert.deepEqual([state.usages.length, state.rows.length, state.phases.length], [0, 0, 1]);
  const shown = introduce([event(200, 0, "claude.message", { role: "user", text: "hi" })], state);
  assert.equal(shown.rows.length, 1);
  assert.equal(shown.status.waiting_for.tool, "Bash");
});

test("a gap whose events nobody could count says which numbers it has", () => {
  const said = gapText({ from_seq: 3, to_seq: 9, counts: {}, reason: "source_changed" });
  assert.equal(said, "Events may be missing here, 3 to 9: the hub had to turn to another way to this session.");
});
