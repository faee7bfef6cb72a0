// Calls and agents of a session: how they begin and end. Pure.

import { line, num, str } from "./plain.js";
import { brief } from "./text/phrases.js";
import { push } from "./rows.js";

const AGENTS = 2000; // kept per session
/** What stands in the place of a result where there is none, by the reason that the server gives. */
const UNFINISHED = new Map([
  ["process_ended", "No result: the session ended first."],
  ["transcript_ends", "No result: Claude's record ends first."],
]);

/** What still ran when the session ended has ended with it. */
export function settle(state, at, seq) {
  for (const [id, call] of state.calls)
    if (call.endAt === null)
      state.calls.set(id, {
        ...call,
        endSeq: seq,
        endAt: at,
        ok: false,
        summary: UNFINISHED.get("process_ended"),
      });
  for (const [key, agent] of state.agents)
    if (agent.status === "started")
      state.agents.set(key, { ...agent, status: "failed", endAt: at, reason: "the session ended first" });
  state.activeAgents = [];
}

function findAgent(state, data) {
  const agents = [...state.agents.values()].reverse(),
    task = str(data.task),
    agent = str(data.agent);
  return (
    agents.find(
      (a) => (data.agent_id && a.agentId === data.agent_id) || (data.tool_use_id && a.toolUseId === data.tool_use_id),
    ) ||
    (data.status !== "started" && agents.find((a) => a.status === "started" && a.agent === agent && a.task === task)) ||
    null
  );
}

/** An agent was given work, or is done with it. */
export function delegation(state, data, at, seq) {
  const old = findAgent(state, data),
    status = str(data.status) || "started",
    over = status !== "started",
    took = num(data.duration_ms);
  const next = {
    key: old ? old.key : str(data.agent_id || data.tool_use_id) || "agent-" + seq,
    agentId: str(data.agent_id) || (old ? old.agentId : ""),
    toolUseId: str(data.tool_use_id) || (old ? old.toolUseId : ""),
    agent: str(data.agent) || (old ? old.agent : "agent"),
    task: str(data.task) || (old ? old.task : ""),
    status,
    background: data.background === undefined ? Boolean(old && old.background) : Boolean(data.background),
    parentAgentId: str(data.parent_agent_id) || (old ? old.parentAgentId : ""),
    at: old ? old.at : over && took ? at - took : at,
    endAt: over ? at : null,
    durationMs: took,
    tokens: num(data.tokens) ?? (old ? old.tokens : null),
    toolUses: num(data.tool_uses) ?? (old ? old.toolUses : null),
    reason: str(data.reason),
  };
  state.agents.set(next.key, next);
  if (state.agents.size > AGENTS) state.agents.delete(state.agents.keys().next().value);
  if (!over && !next.parentAgentId) state.lastMessage = "→ " + next.agent + ": " + line(next.task);
  if (old) return;
  push(state, { kind: "delegation", seq, at: next.at, key: next.key, agentId: next.parentAgentId });
}

/** A call began. */
export function toolStart(state, data, at, seq) {
  const id = str(data.tool_use_id) || "call-" + seq,
    tool = str(data.tool) || "tool",
    agentId = str(data.agent_id);
  const old = state.calls.get(id);
  const call = {
    id,
    tool,
    input: data.input ?? null,
    agentId,
    seq,
    at,
    endSeq: null,
    endAt: null,
    ok: null,
    summary: "",
    durationMs: null,
    truncated: Boolean(data.truncated),
  };
  state.calls.set(
    id,
    old
      ? { ...call, endSeq: old.endSeq, endAt: old.endAt, ok: old.ok, summary: old.summary, durationMs: old.durationMs }
      : call,
  );
  if (!old) push(state, { kind: "call", seq, at, id, agentId });
  if (!agentId) state.lastMessage = tool + (brief(data.input) ? ": " + brief(data.input) : "");
}

/** A call ended. */
export function toolEnd(state, data, at, seq) {
  const tool = str(data.tool) || "tool",
    named = str(data.tool_use_id);
  const open = named
    ? named
    : [...state.calls.values()].reverse().find((call) => call.tool === tool && call.endAt === null)?.id;
  const end = {
    endSeq: seq,
    endAt: at,
    ok: data.ok !== false,
    summary: UNFINISHED.get(data.summary) || str(data.summary),
    durationMs: num(data.duration_ms),
    truncated: Boolean(data.truncated),
  };
  const call = state.calls.get(open);
  if (call) return void state.calls.set(open, { ...call, ...end, truncated: call.truncated || end.truncated });
  const id = named || "call-" + seq,
    agentId = str(data.agent_id); // its start was not seen
  state.calls.set(id, { id, tool, input: null, agentId, seq, at: at - (end.durationMs || 0), ...end });
  push(state, { kind: "call", seq, at, id, agentId });
}
