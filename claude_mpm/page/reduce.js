// What the events of one session add up to. Pure: no DOM, no clock, nothing but the arguments.
//
// A state belongs to whoever called empty() or clone(). apply() changes it in place, but never changes a row, call, agent
// or phase that is already in it: it puts a new object in its place. So clones share these objects, a clone costs only its
// arrays and maps, and a renderer may keep an element for as long as the object it was made from is the current one.

import { dict, line, list, num, plural, str, when } from "./plain.js";

const ROWS = 40000; // conversation rows kept per session; the oldest go first
const PHASES = 4000; // changes of activity
const TODO_CHANGES = 500;
const USAGES = 20000;
const AGENTS = 2000;
const SPARE = 1.1; // trim in one go once this much over the limit, so that trimming is rare

/** The state of a session that nothing is known of. See docs/protocol.md for the fields that come from events. */
export const empty = () => ({
  seq: 0,
  at: 0,
  info: {},
  sessionId: "",
  startedAt: null,
  launchMethod: "",
  ended: null,
  status: { claude_status: "starting", activity: null, waiting_for: null, pid: null, message: "", at: 0 },
  phases: [],
  rows: [],
  calls: new Map(),
  agents: new Map(),
  activeAgents: [],
  todos: null,
  todoChanges: [],
  usage: null,
  usages: [],
  process: null,
  clients: null,
  lastMessage: "",
});

/** A state that later events change independently of the first. */
export const clone = (state) => ({
  ...state,
  phases: state.phases.slice(),
  rows: state.rows.slice(),
  calls: new Map(state.calls),
  agents: new Map(state.agents),
  todoChanges: state.todoChanges.slice(),
  usages: state.usages.slice(),
});

/**
 * Take one event into `state`, which the caller owns. Events of unknown types and data of unexpected shapes change nothing.
 *
 * @param {ReturnType<typeof empty>} state
 * @param {{type: string, seq?: number, timestamp: string, data: Object}} event
 */
export function apply(state, event) {
  const at = when(event.timestamp) ?? state.at;
  if (num(event.seq) !== null) state.seq = event.seq;
  if (at > state.at && event.type !== "system.status") state.at = at;
  const fold = FOLDS.get(event.type);
  if (fold) fold(state, dict(event.data), at, state.seq);
}

const trim = (array, limit) => {
  if (array.length > limit * SPARE) array.splice(0, array.length - limit);
};

function push(state, row) {
  state.rows.push(row);
  if (state.rows.length <= ROWS * SPARE) return;
  for (const old of state.rows.splice(0, state.rows.length - ROWS)) if (old.kind === "call") state.calls.delete(old.id);
}

const notice = (state, at, seq, text, severity = "info") => push(state, { kind: "notice", seq, at, text, severity });

function enter(state, at, activity, waitingFor) {
  const last = state.phases[state.phases.length - 1];
  if (last && last.to === null) {
    if (last.activity === activity && (last.waitingFor || null) === (waitingFor || null)) return;
    state.phases[state.phases.length - 1] = { ...last, to: Math.max(at, last.from) };
  }
  if (activity)
    state.phases.push(waitingFor ? { from: at, to: null, activity, waitingFor } : { from: at, to: null, activity });
  trim(state.phases, PHASES);
}

function setStatus(state, at, { claude_status, activity, waiting_for, pid, message }) {
  const runs = claude_status === "running";
  const asked =
    runs && (waiting_for || activity === "waiting")
      ? waitingOf(state.status.waiting_for, waiting_for, message, at)
      : null;
  const doing = !runs ? null : asked ? "waiting" : str(activity) || null;
  enter(state, at, doing, asked);
  state.status = {
    claude_status,
    activity: doing,
    waiting_for: asked,
    pid: pid ?? state.status.pid,
    message: str(message),
    at,
  };
}

/** Keep the moment of the first report when another source reports the same request. */
function waitingOf(old, value, message, at) {
  const data = typeof value === "string" ? { kind: value } : dict(value);
  const next = {
    kind: str(data.kind || data.type) || "input",
    tool: str(data.tool),
    input: data.input ?? null,
    message: str(data.message || message),
    since: at,
  };
  const same =
    old &&
    ["kind", "tool"].every((key) => old[key] === next[key]) &&
    JSON.stringify(old.input) === JSON.stringify(next.input);
  return same && old.message === next.message ? old : { ...next, since: same ? old.since : at };
}

const endOf = (data, at) => ({ ...data, at: when(data.end_time) || at });

/** What still ran when the session ended has ended with it. */
function settle(state, at, seq) {
  for (const [id, call] of state.calls)
    if (call.endAt === null)
      state.calls.set(id, {
        ...call,
        endSeq: seq,
        endAt: at,
        ok: false,
        summary: "No result: the session ended first.",
      });
  for (const [key, agent] of state.agents)
    if (agent.status === "started")
      state.agents.set(key, { ...agent, status: "failed", endAt: at, reason: "the session ended first" });
  state.activeAgents = [];
}

function setTodos(state, data, at, seq) {
  const known = (todo) => ({
    ...todo,
    id: str(todo.id),
    content: str(todo.content),
    status: str(todo.status) || "pending",
    active_form: str(todo.active_form),
  });
  const todos = list(data.todos).map(dict).map(known);
  const tally = (status) => todos.filter((todo) => todo.status === status).length;
  const stats = {
    total: todos.length,
    completed: tally("completed"),
    in_progress: tally("in_progress"),
    pending: tally("pending"),
  };
  const changes = todoChanges(state.todos ? state.todos.todos : [], todos);
  if (changes.length || !state.todos) state.todoChanges.push({ at, seq, stats, changes });
  state.todos = { todos, stats, at };
  trim(state.todoChanges, TODO_CHANGES);
}

function todoChanges(before, after) {
  const key = (todo) => todo.id + "\n" + todo.content,
    old = new Map(before.map((todo) => [key(todo), todo])),
    changes = [];
  for (const todo of after) {
    const was = old.get(key(todo));
    old.delete(key(todo));
    if (!was) changes.push({ content: todo.content, from: null, to: todo.status });
    else if (was.status !== todo.status) changes.push({ content: todo.content, from: was.status, to: todo.status });
  }
  if (!after.length) return before.length ? [{ content: plural(before.length, "todo"), from: "", to: "cleared" }] : [];
  return changes.concat([...old.values()].map((todo) => ({ content: todo.content, from: todo.status, to: "removed" })));
}

const usageOf = (data) => ({
  model: str(data.model),
  totals: dict(data.totals),
  context_percent: num(data.context_percent),
  cost_usd: num(data.cost_usd),
  cost_is_estimate: Boolean(data.cost_is_estimate),
});

function setUsage(state, data) {
  const old = state.usage,
    next = usageOf(data);
  if (!data.totals && next.cost_usd === null) return;
  state.usage = {
    // the main thread's context and model; a subagent's answer counts in the totals only
    ...next,
    model: (data.agent_id ? "" : next.model) || (old ? old.model : next.model),
    context_percent: (data.agent_id ? null : next.context_percent) ?? (old ? old.context_percent : null),
    cost_usd: next.cost_usd ?? (old ? old.cost_usd : null),
    cost_is_estimate: next.cost_usd === null && old ? old.cost_is_estimate : next.cost_is_estimate,
  };
}

/** The line that says what a call is about; render/tool.js shows it in full. */
export function brief(input) {
  if (typeof input === "string") return line(input);
  const data = dict(input);
  const keys = [
    "command",
    "file_path",
    "notebook_path",
    "pattern",
    "path",
    "url",
    "query",
    "question",
    "subject",
    "description",
    "prompt",
    "skill",
  ];
  const key = keys.find((name) => typeof data[name] === "string" && data[name]);
  return line(key ? data[key] : Object.values(data).find((value) => typeof value === "string" && value) || "");
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

function delegation(state, data, at, seq) {
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

function toolStart(state, data, at, seq) {
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

function toolEnd(state, data, at, seq) {
  const tool = str(data.tool) || "tool",
    named = str(data.tool_use_id);
  const open = named
    ? named
    : [...state.calls.values()].reverse().find((call) => call.tool === tool && call.endAt === null)?.id;
  const end = {
    endSeq: seq,
    endAt: at,
    ok: data.ok !== false,
    summary: str(data.summary),
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

const FOLDS = new Map([
  [
    "session.start",
    (state, data, at, seq) => {
      const again = state.startedAt !== null;
      Object.assign(state, {
        sessionId: str(data.session_id),
        startedAt: state.startedAt ?? when(data.start_time) ?? at,
        ended: null,
        launchMethod: str(data.launch_method),
      });
      state.info = { ...state.info, ...dict(data.instance_info) };
      if (again && state.todos) setTodos(state, { todos: [] }, at, seq);
      notice(state, at, seq, again ? "New session (" + (str(data.reason) || "same process") + ")" : "Session started");
    },
  ],
  [
    "session.end",
    (state, data, at, seq) => {
      state.ended = endOf(data, at);
      settle(state, at, seq);
      setStatus(state, at, { claude_status: "stopped" });
      notice(state, at, seq, endText(state.ended), failedEnd(state.ended) ? "error" : "info");
    },
  ],
  [
    "claude.status",
    (state, data, at) =>
      setStatus(state, at, { ...data, claude_status: str(data.status) || state.status.claude_status }),
  ],
  [
    "claude.message",
    (state, data, at, seq) => {
      const text = str(data.text),
        agentId = str(data.agent_id),
        role = str(data.role) || "assistant";
      push(state, {
        kind: "message",
        seq,
        at,
        role,
        text,
        agentId,
        model: str(data.model),
        messageId: str(data.message_id),
        truncated: Boolean(data.truncated),
      });
      if (!agentId && text.trim()) state.lastMessage = line(text);
    },
  ],
  ["tool.start", toolStart],
  ["tool.end", toolEnd],
  ["agent.delegation", delegation],
  ["agent.status", (state, data) => void (state.activeAgents = list(data.active_agents))],
  [
    "todo.update",
    (state, data, at, seq) => {
      if (!data.agent_id) setTodos(state, data, at, seq);
    },
  ],
  [
    "claude.usage",
    (state, data, at, seq) => {
      setUsage(state, data);
      state.usages.push({
        seq,
        at,
        agentId: str(data.agent_id),
        model: str(data.model),
        tokens: dict(data.tokens),
        contextPercent: num(data.context_percent),
        costUsd: num(data.cost_usd),
      });
      trim(state.usages, USAGES);
    },
  ],
  [
    "system.error",
    (state, data, at, seq) =>
      notice(
        state,
        at,
        seq,
        str(data.error) + (data.hint ? " " + str(data.hint) : ""),
        data.severity === "warning" ? "warning" : "error",
      ),
  ],
  ["system.gap", (state, data, at, seq) => notice(state, at, seq, gapText(data), "gap")],
  ["system.status", systemStatus],
]);

/** The greeting says all of "now" at once, so it is right even where the history before it is lost. */
function systemStatus(state, data, at, seq) {
  state.sessionId = str(data.session_id) || state.sessionId;
  state.startedAt = state.startedAt ?? when(data.session_start);
  state.info = { ...state.info, ...dict(data.instance_info) };
  state.launchMethod = str(data.launch_method) || state.launchMethod;
  if (data.process) state.process = dict(data.process);
  state.clients = num(data.connected_clients) ?? state.clients;
  state.activeAgents = list(dict(data.agents).active_agents);
  if (data.usage) setUsage(state, dict(data.usage));
  state.lastMessage = state.lastMessage || line(dict(data.last_message).text);
  if (data.activity !== undefined || data.claude_status !== state.status.claude_status)
    setStatus(state, at, {
      claude_status: str(data.claude_status) || state.status.claude_status,
      activity: data.activity,
      waiting_for: data.waiting_for,
      pid: data.claude_pid,
    });
  if (data.todos) setTodos(state, dict(data.todos), at, seq);
  if (data.ended && !state.ended) state.ended = endOf(dict(data.ended), at);
}

/** Whether an end is a failure: a signal, or an exit code that is not 0. */
export const failedEnd = (ended) => Boolean(ended.signal || ended.exit_code);

/** How a session ended, in words: "Ended, exit code 0, after 12 min 05". */
export function endText(ended) {
  const how = ended.signal
    ? "Killed by " + str(ended.signal)
    : num(ended.exit_code) === null
      ? "Ended"
      : ended.exit_code === 0
        ? "Ended normally"
        : "Failed with exit code " + ended.exit_code;
  const ordinary = !ended.reason || ["exit", "exited", "signal"].includes(ended.reason);
  return how + (ordinary ? "" : " (" + str(ended.reason) + ")");
}

/** What a gap lost and why: "3 events are missing here (tool.start 3): this page was too slow". */
export function gapText(data) {
  const counts = Object.entries(dict(data.counts)),
    total = counts.reduce((sum, [, n]) => sum + (num(n) || 0), 0);
  const why =
    data.reason === "slow_client"
      ? "this page was too slow to take them"
      : data.reason === "expired"
        ? "the server no longer keeps them"
        : str(data.reason);
  const what = plural(total, "event") + (total === 1 ? " is" : " are") + " missing here";
  return what + " (" + counts.map(([type, n]) => type + " " + n).join(", ") + "): " + why + ".";
}
