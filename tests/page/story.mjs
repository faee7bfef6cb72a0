// Sessions as events: one to look at, and one of any length to measure with.

import { START, event } from "./session.mjs";

/** A story told by its times: each line is [seconds, type, data]. */
const told = (lines) => lines.map(([seconds, type, data], i) => event(i + 1, seconds * 1000, type, data));

const tool = (id, tool, input, agent_id) => ({ tool_use_id: id, tool, input, ...(agent_id && { agent_id }) });
const done = (id, tool, duration_ms, ok = true, agent_id = undefined) => (
  { tool_use_id: id, tool, ok, duration_ms, summary: ok ? "ok" : "exit 1", ...(agent_id && { agent_id }) });
const status = (activity, waiting_for) => ({ status: "running", activity, ...(waiting_for && { waiting_for }) });
const agentOf = (id, agent, task, state, more) => (
  { agent_id: id, tool_use_id: `t-${id}`, agent, task, status: state, ...more });
const usage = (input, totals, context_percent, cost_usd) => ({
  model: "claude-opus-5-5", context_percent, cost_usd,
  tokens: { input, output: 200, cache_read: 900, cache_creation: 90 },
  totals: { input: totals, output: totals / 4, cache_read: totals * 4, cache_creation: totals / 2 } });
const say = (role, text, agent_id) => ({ role, text, ...(agent_id && { agent_id }) });
const asks = { kind: "permission", tool: "Bash", input: { command: "npm test" } };

/** Twelve minutes with four agents, one nested, one in the background, one that fails. */
export const story = () => told([
  [0, "session.start", { session_id: "s", start_time: new Date(START).toISOString(), reason: "startup" }],
  [1, "claude.status", status("idle")],
  [20, "claude.message", say("user", "Find out why the login is slow and mend it")],
  [20, "claude.status", status("working")], [24, "tool.start", tool("1", "Grep", { pattern: "login" })],
  [26, "tool.end", done("1", "Grep", 2000)], [27, "tool.start", tool("2", "Read", { file_path: "/src/login.ts" })],
  [29, "tool.end", done("2", "Read", 2000)], [33, "claude.usage", usage(3000, 12000, 12, 0.08)],
  [40, "agent.delegation", agentOf("a", "research", "Find every query that the login makes", "started")],
  [44, "agent.delegation", agentOf("b", "engineer", "Add an index for sessions.user_id", "started")],
  [50, "tool.start", tool("3", "Grep", { pattern: "SELECT" }, "a")],
  [58, "tool.end", done("3", "Grep", 8000, true, "a")],
  [60, "agent.delegation", agentOf("c", "Explore", "Look through the migrations", "started", { parent_agent_id: "b" })],
  [66, "tool.start", tool("4", "Bash", { command: "ls migrations" }, "c")],
  [75, "tool.end", done("4", "Bash", 9000, true, "c")],
  [80, "tool.start", tool("5", "Bash", { command: "npm run migrate" }, "b")],
  [104, "tool.end", done("5", "Bash", 24000, false, "b")],
  [110, "agent.delegation", agentOf("c", "Explore", "", "completed", { duration_ms: 50000, tokens: 8200 })],
  [150, "agent.delegation", agentOf("a", "research", "", "completed", { duration_ms: 110000, tool_uses: 9 })],
  [160, "claude.usage", usage(9000, 48000, 31, 0.41)], [170, "tool.start", tool("6", "Bash", { command: "npm test" })],
  [172, "claude.status", status("waiting", asks)], [290, "claude.status", status("working")],
  [320, "tool.end", done("6", "Bash", 30000, false)],
  [322, "agent.delegation", agentOf("b", "engineer", "", "failed", { duration_ms: 278000, reason: "tests" })],
  [330, "claude.message", say("assistant", "The migration fails; I look at it myself.")],
  [331, "claude.status", status("idle")],
  [420, "claude.message", say("user", "Go on, and run the tests in the background")],
  [420, "claude.status", status("working")], [424, "tool.start", tool("7", "Edit", { file_path: "/src/login.ts" })],
  [425, "tool.end", done("7", "Edit", 900)],
  [430, "agent.delegation", agentOf("d", "qa", "Run all tests and say what fails", "started", { background: true })],
  [440, "tool.start", tool("8", "Bash", { command: "npm test -- --all" }, "d")],
  [470, "claude.usage", usage(7000, 71000, 44, 0.66)],
  [500, "tool.start", tool("9", "Read", { file_path: "/src/db.ts" })],
  [502, "tool.end", done("9", "Read", 1800)], [640, "tool.start", tool("10", "Edit", { file_path: "/src/db.ts" })],
  [641, "tool.end", done("10", "Edit", 800)], [700, "tool.start", tool("11", "Bash", { command: "npm run build" })],
]);

/** `count` events: calls with their ends, messages, usage, an agent every 500, a prompt every 250; two a second. */
export function long(count) {
  const events = [event(1, 0, "session.start", { session_id: "s", start_time: new Date(START).toISOString() })];
  const add = (type, data) => events.push(event(events.length + 1, events.length * 500, type, data));
  for (let n = 0; events.length < count; n++) {
    const id = `agent-${Math.floor(n / 125)}`, agent = n % 125 > 60 ? id : undefined, type = `type-${n % 9}`;
    if (n % 125 === 60) add("agent.delegation", agentOf(id, type, "Part", "started"));
    if (n % 63 === 0) add("claude.message", say("user", `Prompt ${n}: ${"do this and that ".repeat(8)}`));
    add("tool.start", tool(`c${n}`, n % 3 ? "Bash" : "Edit", { command: `step ${n} `.repeat(20) }, agent));
    add("tool.end", done(`c${n}`, n % 3 ? "Bash" : "Edit", 480, n % 50 !== 0, agent));
    add("claude.message", say("assistant", `Step ${n}. ${"It is done so and so. ".repeat(20)}`, agent));
    add("claude.usage", usage(1000 + n, 1000 * n, n % 100, n / 100));
    if (n % 125 === 124) add("agent.delegation", agentOf(id, type, "", "completed"));
  }
  return events.slice(0, count);
}
