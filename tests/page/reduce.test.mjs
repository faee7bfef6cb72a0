import assert from "node:assert/strict";
import test from "node:test";

import { apply, clone, empty } from "../../claude_mpm/page/reduce.js";
import { format, parse } from "../../claude_mpm/page/route.js";
import { clean, plainJson, running, span } from "../../claude_mpm/page/plain.js";

const START = Date.parse("2026-03-01T09:00:00.000Z");
let seq = 0;
const fold = (state, type, data = {}, after = seq) =>
  apply(state, { type, seq: ++seq, timestamp: new Date(START + 1000 * after).toISOString(), data });

test("a call is one row, from its start to its end", () => {
  const state = empty();
  fold(state, "tool.start", { tool_use_id: "t", tool: "Bash", input: { command: "ls" } });
  assert.equal(state.calls.get("t").ok, null);
  fold(state, "tool.end", { tool_use_id: "t", tool: "Bash", ok: false, summary: "no", duration_ms: 5 });
  assert.equal(state.rows.length, 1);
  assert.deepEqual([state.calls.get("t").ok, state.calls.get("t").summary], [false, "no"]);
});

test("a clone is not changed by what the first one takes in later", () => {
  const state = empty();
  fold(state, "tool.start", { tool_use_id: "t", tool: "Bash", input: {} });
  fold(state, "claude.status", { status: "running", activity: "working" });
  const before = clone(state),
    said = JSON.stringify([before.rows, [...before.calls], before.phases]);
  fold(state, "tool.end", { tool_use_id: "t", tool: "Bash", ok: true });
  fold(state, "claude.status", { status: "running", activity: "idle" });
  fold(state, "claude.message", { role: "user", text: "more" });
  assert.equal(JSON.stringify([before.rows, [...before.calls], before.phases]), said);
});

test("a request told by two sources keeps the time of the first", () => {
  const state = empty(),
    waiting = {
      status: "running",
      activity: "waiting",
      waiting_for: { kind: "permission", tool: "Bash", input: { command: "x" } },
    };
  fold(state, "claude.status", waiting, 10);
  const first = state.status.waiting_for;
  fold(state, "claude.status", waiting, 12);
  assert.equal(state.status.waiting_for, first);
  assert.equal(state.phases.length, 1);
});

test("what runs when a session ends has ended with it", () => {
  const state = empty();
  fold(state, "tool.start", { tool_use_id: "t", tool: "Bash", input: {} });
  fold(state, "agent.delegation", { agent: "Explore", task: "look", status: "started", agent_id: "a" });
  fold(state, "session.end", {
    session_id: null,
    end_time: "2026-03-01T10:00:00.000Z",
    duration_seconds: 1,
    exit_code: 0,
    signal: null,
    reason: "exit",
  });
  assert.equal(state.calls.get("t").ok, false);
  assert.equal(state.agents.get("a").status, "failed");
  assert.equal(state.status.activity, null);
});

test("events of any shape are data", () => {
  const state = empty();
  for (const type of [
    "todo.update",
    "tool.start",
    "tool.end",
    "agent.delegation",
    "claude.usage",
    "claude.status",
    "session.start",
    "session.end",
    "system.gap",
    "system.status",
    "constructor",
    "__proto__",
  ])
    for (const data of [
      null,
      3,
      "x",
      [],
      {},
      { todos: "no list", tokens: 3, active_agents: {}, counts: 4, waiting_for: 7 },
    ])
      assert.doesNotThrow(() => fold(state, type, data), type);
});

test("an address and a view are the same thing", () => {
  const view = { session: "a b/c", name: "events", agent: "x&y", query: "näh?", at: 1700000000000 };
  assert.deepEqual(parse(format(view)), view);
  assert.equal(parse(""), null);
  assert.equal(parse("#token=x"), null);
  assert.equal(parse("#/").session, null);
  assert.equal(parse("#/s/no-such-view?at=x").name, "conversation");
  assert.equal(parse("#/%zz/events").session, "%zz");
});

test("text loses its escapes and shows what it hides", () => {
  assert.equal(clean("\u001b[31mred\u001b[0m a\u202eb"), "red a⟨RLO⟩b");
  assert.equal(JSON.parse(plainJson(JSON.stringify("a\u202e\u{e0041}"))), "a\u202e\u{e0041}");
  assert.equal(span(0), "");
  assert.equal(span(362), "0.4 s");
  assert.equal(running(362), "0 s");
});
