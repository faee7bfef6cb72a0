// The address of a session that is over, the life of a question, and commands that are waited for.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openQuestions, question, setQuestions } from "../../claude_mpm/page/questions.js";
import { Requests } from "../../claude_mpm/page/sources/requests.js";
import { clone, empty, apply } from "../../claude_mpm/page/reduce.js";
import { format, parse } from "../../claude_mpm/page/route.js";

const VIEW = { name: "changes", agent: null, query: "", at: null };

test("a session of the past has an address of its own", () => {
  const view = { ...VIEW, session: "past/0a-1", at: 5000 };
  assert.equal(format(view), "#/past/0a-1/changes?at=5000");
  assert.deepEqual(parse(format(view)), view);
  assert.deepEqual(parse("#/past/0a-1"), { ...VIEW, session: "past/0a-1", name: "conversation" });
});

test("whatever an id holds, its address leads back to it", () => {
  for (const session of ["past/a/b?c#d", "past/..", "a/b", "port 8765"]) {
    const view = { ...VIEW, session };
    assert.deepEqual(parse(format(view)), view, session);
  }
});

test("a question is open from asked until it is applied or withdrawn", () => {
  const state = empty();
  question(state, { request_id: "q-1", state: "asked", tool: "Bash", decisions: ["allow"] }, 1000);
  question(state, { request_id: "q-1", state: "delivered", decision: "allow", client: "client-1" }, 2000);
  assert.deepEqual(openQuestions(state), [
    {
      request_id: "q-1",
      state: "delivered",
      tool: "Bash",
      decisions: ["allow"],
      decision: "allow",
      client: "client-1",
      askedAt: 1000,
      changedAt: 2000,
    },
  ]);
  const before = clone(state);
  question(state, { request_id: "q-1", state: "applied" }, 3000);
  assert.deepEqual(openQuestions(state), []);
  assert.equal(openQuestions(before).length, 1, "a clone keeps its moment");
});

test("questions that the greeting does not list have been settled meanwhile", () => {
  const state = empty();
  question(state, { request_id: "q-1", state: "asked" }, 1000);
  setQuestions(state, [{ request_id: "q-2", state: "asked" }], 2000);
  assert.deepEqual([...state.questions.values()].map((one) => one.state), ["withdrawn", "asked"]);
});

test("a flood of questions is bounded, and none is open after the session's end", () => {
  const state = empty();
  for (let n = 0; n < 500; n++) question(state, { request_id: "q-" + n, state: "asked" }, n);
  assert.equal(state.questions.size, 32);
  apply(state, { type: "session.end", seq: 1, timestamp: "2026-11-01T10:00:00.000Z", data: { exit_code: 0 } });
  assert.deepEqual(openQuestions(state), []);
});

test("a command gets its own reply, and none when the connection ends", async () => {
  const requests = new Requests(),
    sent = [];
  const [first, second, third] = [0, 1, 2].map(() => requests.make((id) => sent.push(id)));
  assert.equal(requests.take({ type: "pong" }), false);
  assert.equal(requests.take({ type: "done", request_id: sent[1], data: { command: "answer" } }), true);
  assert.deepEqual(await second, { command: "answer" });
  requests.take({ type: "error", request_id: sent[0], data: { code: "expired", message: "too late" } });
  await assert.rejects(first, { code: "expired", message: "too late" });
  requests.drop();
  await assert.rejects(third, { code: "closed" });
  assert.equal(requests.size, 0);
});
