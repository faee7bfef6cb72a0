import assert from "node:assert/strict";
import { test } from "node:test";
import {
  HUES, agentHue, agentLanes, boundsOf, callMarks, endOf, hasTimeline, neighbourTime, phasesIn, promptsIn,
  rowFinder, rowsToScroll, under,
} from "../../claude_mpm/page/lanes.js";
import { START, agent, call, state } from "./session.mjs";

const END = START + 10_000, VIEW = { from: START, to: END };

test("nothing is drawn before anything happened", () => {
  assert.equal(hasTimeline(state()), false);
  assert.equal(hasTimeline(state({ calls: new Map([call("c", 1)]) })), true);
});

test("a session lasts until now, until its last event, or until its end", () => {
  assert.equal(endOf(state(), START + 5), START + 5);
  assert.equal(endOf(state({ at: START + 9 }), START + 5), START + 9);
  assert.equal(endOf(state({ ended: { at: START + 3 } }), START + 5), START + 3);
  assert.deepEqual(boundsOf(state(), END), { from: START, to: END });
  assert.deepEqual(boundsOf(state({ startedAt: null }), END), { from: END, to: END });
});

test("the phase that lasts is drawn to the end, those out of view are not drawn", () => {
  const phases = [
    { from: START, to: START + 1000, activity: "idle" }, { from: START + 1000, to: START + 4000, activity: "working" },
    { from: START + 4000, to: null, activity: "waiting", waitingFor: { kind: "permission" } }];
  const found = phasesIn(state({ phases }), { from: START + 2000, to: END }, END);
  assert.deepEqual(found.map((each) => [each.activity, each.to - START]), [["working", 4000], ["waiting", 10000]]);
});

test("agents nest under the one that started them, in the order they started", () => {
  const agents = new Map([
    agent("a", 0), agent("b", 10), agent("c", 20, { parentAgentId: "a" }), agent("d", 30, { parentAgentId: "c" }),
    agent("e", 40, { parentAgentId: "unknown", background: true })]);
  const lanes = agentLanes(state({ agents }), END);
  assert.deepEqual(lanes.map((each) => [each.key, each.row, each.depth]), [
    ["a", 1, 0], ["c", 2, 1], ["d", 3, 2], ["b", 4, 0], ["e", 5, 0]]);
  assert.equal(lanes[4].background, true);
  assert.equal(lanes[0].to, END);
});

test("lanes are scrolled to an agent of the moment, and only when none is in sight", () => {
  const lanes = Array.from({ length: 20 }, (_, i) => ({ from: i * 10, to: i * 10 + 5 }));
  const at = (ms) => ({ from: ms, to: ms });
  assert.equal(rowsToScroll(lanes, at(32), 0, 5), 0);
  assert.equal(rowsToScroll(lanes, at(82), 0, 5), 8);
  assert.equal(rowsToScroll(lanes, at(192), 0, 5), 15);
  assert.equal(rowsToScroll(lanes, at(9), 7, 5), 7);
  assert.equal(rowsToScroll(lanes, { from: 0, to: 200 }, 7, 5), 7);
  assert.equal(rowsToScroll([], at(1), 0, 5), 0);
});

test("agents that name each other as parents are drawn once each", () => {
  const agents = new Map([
    agent("a", 0, { parentAgentId: "b" }), agent("b", 1, { parentAgentId: "a" }),
    agent("c", 2, { parentAgentId: "c" })]);
  assert.deepEqual(agentLanes(state({ agents }), END).map((each) => each.key).sort(), ["a", "b", "c"]);
});

test("a type of agent has one colour for good, and names spread over all of them", () => {
  assert.equal(agentHue("engineer"), agentHue("engineer"));
  const names = ["engineer", "qa", "research", "Explore", "Plan", "general-purpose", "security", "ops", "docs"];
  assert.ok(new Set(names.map(agentHue)).size >= 4);
  for (const name of [...names, "", "constructor", "名前"]) assert.ok(agentHue(name) >= 0 && agentHue(name) < HUES);
});

test("calls are marked in the lane of whoever made them, delegations have a lane instead", () => {
  const agents = new Map([agent("a", 0, { toolUseId: "t" })]);
  const calls = new Map([
    call("m", 1000, { endAt: START + 2000, ok: true }), call("t", 1000, { tool: "Agent" }),
    call("i", 3000, { agentId: "a", endAt: START + 3000, ok: false }), call("x", 5000, { agentId: "gone" })]);
  const session = state({ agents, calls }), rowOf = rowFinder(session, agentLanes(session, END));
  assert.deepEqual(callMarks(session, VIEW, 1000, rowOf, END), [
    { row: 0, x: 100, width: 100, failed: false, running: false },
    { row: 1, x: 300, width: 0, failed: true, running: false },
    { row: 0, x: 500, width: 500, failed: false, running: true },
  ]);
});

test("an agent whose id is not known yet takes no calls of the main thread", () => {
  const agents = new Map([agent("a", 0, { agentId: "" })]), calls = new Map([call("m", 1000, { agentId: "" })]);
  const session = state({ agents, calls });
  assert.equal(rowFinder(session, agentLanes(session, END))(calls.get("m")), 0);
});

test("twenty thousand calls are no more marks than the plot has pixels, and no failure is lost", () => {
  const calls = new Map(Array.from({ length: 20000 }, (_, i) => call(`c${i}`, i / 2, {
    endAt: START + i / 2, ok: i !== 777 })));
  const session = state({ calls });
  const marks = callMarks(session, VIEW, 800, rowFinder(session, []), END);
  assert.ok(marks.length <= 801);
  assert.equal(marks.filter((each) => each.failed).length, 1);
});

test("marks stay within the plot however far it is zoomed", () => {
  const session = state({ calls: new Map([call("c", 0, { endAt: END })]) });
  const view = { from: START + 5000, to: START + 5500 };
  const [mark] = callMarks(session, view, 800, rowFinder(session, []), END);
  assert.deepEqual([mark.x, mark.width], [-1, 802]);
});

test("the pointer finds the phase and the calls of its row, newest first", () => {
  const calls = new Map(Array.from({ length: 6 }, (_, i) => call(`c${i}`, i * 100, { endAt: START + 5000, ok: true })));
  const phases = [{ from: START, to: null, activity: "working" }];
  const session = state({ calls, phases }), rowOf = rowFinder(session, []);
  const found = under({ state: session, view: VIEW, width: 1000, rowOf, end: END }, 0, 200);
  assert.equal(found.at, START + 2000);
  assert.equal(found.phase.activity, "working");
  assert.deepEqual([found.calls.map((each) => each.id), found.more], [["c5", "c4", "c3", "c2"], 2]);
  assert.deepEqual(under({ state: session, view: VIEW, width: 1000, rowOf, end: END }, 1, 200).calls, []);
});

test("prompts and neighbours are found by time", () => {
  const rows = [
    { kind: "message", role: "user", at: START + 100 }, { kind: "call", at: START + 300 },
    { kind: "message", role: "user", agentId: "a", at: START + 400 }, { kind: "call", at: START + 250 }];
  const session = state({ rows });
  assert.deepEqual(promptsIn(session, VIEW), [START + 100]);
  assert.equal(neighbourTime(session, START + 100, 1), START + 250);
  assert.equal(neighbourTime(session, START + 300, -1), START + 250);
  assert.equal(neighbourTime(session, START + 400, 1), null);
});
