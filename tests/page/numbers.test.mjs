import assert from "node:assert/strict";
import { test } from "node:test";
import { agentsOf, joined, numbersOf, toolsOf, turnsOf } from "../../claude_mpm/page/numbers.js";
import { START, agent, call, state } from "./session.mjs";

const END = START + 60_000;
const prompt = (seq, text = "go") => ({ kind: "message", role: "user", seq, at: START + seq, text, agentId: "" });
const used = (seq, part = {}) => ({
  seq, at: START + seq, agentId: "", model: "m", tokens: { input: 10, output: 2, cache_read: 3, cache_creation: 1 },
  contextPercent: null, costUsd: null, ...part });

test("nothing known is null, not nought", () => {
  const numbers = numbersOf(state(), END);
  assert.deepEqual([numbers.tokens, numbers.cost, numbers.context], [null, null, null]);
  assert.deepEqual([numbers.turns, numbers.tools, numbers.agents], [[], [], []]);
});

test("tokens of all kinds are added up, and missing or odd ones are none", () => {
  const totals = { input: 100, output: 20, cache_read: null, cache_creation: "many" };
  const numbers = numbersOf(state({ usage: { totals, cost_usd: 0.5, cost_is_estimate: true } }), END);
  assert.deepEqual(numbers.tokens, { input: 100, output: 20, cache_read: 0, cache_creation: 0, total: 120 });
  assert.deepEqual([numbers.cost, numbers.costIsEstimate], [0.5, true]);
});

test("a turn is what a prompt set off, with the cost it added and the fullest context", () => {
  const usages = [
    used(2, { costUsd: 0.1, contextPercent: 20 }), used(3, { costUsd: 0.25, contextPercent: 90, agentId: "a" }),
    used(12, { costUsd: 0.4, contextPercent: 30 }), used(13, { contextPercent: 28 })];
  const turns = turnsOf(state({ rows: [prompt(1), prompt(10, "on")], usages }));
  assert.deepEqual(turns.map(({ tokens, output, context }) => [tokens, output, context]), [[32, 4, 20], [32, 4, 30]]);
  assert.deepEqual(turns.map(({ cost }) => Number(cost.toFixed(6))), [0.25, 0.15]);
  assert.equal(turns[1].prompt, "on");
});

test("what was used before the first prompt is a turn of its own, and prompts of agents begin none", () => {
  const rows = [{ ...prompt(5), agentId: "a" }, prompt(9)];
  const turns = turnsOf(state({ rows, usages: [used(1), used(6), used(10)] }));
  assert.deepEqual(turns.map(({ seq, tokens }) => [seq, tokens]), [[null, 32], [9, 16]]);
});

test("a cost put right lowers its turn, one that begins anew adds to it", () => {
  const cost = (...costs) => {
    const usages = costs.map((costUsd, i) => used(2 + i, { costUsd }));
    return turnsOf(state({ rows: [prompt(1)], usages })).map((turn) => Number(turn.cost.toFixed(6)));
  };
  assert.deepEqual(cost(0.5, 0.48), [0.48]);
  assert.deepEqual(cost(0.5, 0.02), [0.52]);
});

test("tools are counted with their failures, time and slowest call, the longest first", () => {
  const calls = new Map([
    call("a", 0, { tool: "Read", endAt: START + 10, ok: true, durationMs: 8 }),
    call("b", 0, { endAt: START + 3000, ok: false }), call("c", 5000, { endAt: START + 6000, ok: true }),
    call("d", 50000),
    call("e", 0, { tool: "constructor", endAt: START + 1, ok: true })]);
  const [bash, read, odd] = toolsOf(state({ calls }), END);
  assert.deepEqual(
    [bash.name, bash.calls, bash.failures, bash.running, bash.totalMs, bash.slowestMs, bash.slowest.id],
    ["Bash", 3, 1, 1, 14000, 10000, "d"]);
  assert.deepEqual([read.name, read.totalMs, odd.name, odd.calls], ["Read", 8, "constructor", 1]);
});

test("agents are counted by type, with what they used", () => {
  const agents = new Map([
    agent("a", 0, { status: "completed", endAt: START + 900, durationMs: 1000, tokens: 50, toolUses: 2 }),
    agent("b", 0, { status: "failed", endAt: START + 500, tokens: 5 }), agent("c", 0, { agent: "qa" })]);
  const [qa, engineer] = agentsOf(state({ agents }), END);
  assert.deepEqual([qa.name, qa.running, qa.totalMs, qa.tokens], ["qa", 1, 60000, 0]);
  assert.deepEqual(
    [engineer.calls, engineer.failures, engineer.totalMs, engineer.tokens, engineer.toolUses], [2, 1, 1500, 55, 2]);
});

test("many turns become few bars without losing a token", () => {
  const turns = Array.from({ length: 250 }, (_, seq) => ({
    seq, at: 0, prompt: "", tokens: 4, output: 1, cost: seq % 2 ? 0.01 : null, context: seq % 3 ? null : seq }));
  const bars = joined(turns, 60);
  assert.ok(bars.length <= 60);
  assert.equal(bars.reduce((all, each) => all + each.tokens, 0), 1000);
  assert.equal(Math.max(...bars.map((each) => each.context)), 249);
  assert.equal(joined(turns.slice(0, 3), 60).length, 3);
});
