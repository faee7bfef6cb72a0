// What the events of one session add up to. Pure: no DOM, no clock, nothing but the arguments.
//
// A state belongs to whoever called empty() or clone(). apply() changes it in place, but never changes a row, call,
// agent or phase that is already in it: it puts a new object in its place. So clones share these objects, a clone costs
// only its arrays and maps, and a renderer may keep an element for as long as the object it was made from is current.

import { dict, line, list, num, str, when } from "./plain.js";
import { endText, failedEnd, gapText } from "./text/phrases.js";
import { notice, push, trim } from "./rows.js";
import { question, setQuestions } from "./questions.js";
import { setTodos } from "./tools/todo_list.js";
import { delegation, settle, toolEnd, toolStart } from "./work.js";

const PHASES = 4000; // changes of activity
const USAGES = 20000;

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
  questions: new Map(),
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
  questions: new Map(state.questions),
  todoChanges: state.todoChanges.slice(),
  usages: state.usages.slice(),
});

/**
 * Take one event into `state`, which the caller owns. An unknown type, or data of an unexpected shape, changes nothing.
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
    answerable: typeof data.answerable === "boolean" ? data.answerable : null,
    request_id: str(data.request_id),
    reason: str(data.reason),
  };
  const same =
    old &&
    ["kind", "tool"].every((key) => old[key] === next[key]) &&
    JSON.stringify(old.input) === JSON.stringify(next.input);
  const known = ["message", "answerable", "request_id", "reason"].every((key) => old && old[key] === next[key]);
  return same && known ? old : { ...next, since: same ? old.since : at };
}

const endOf = (data, at) => ({ ...data, at: when(data.end_time) || at });

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
  ["claude.question", question],
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
  if (data.questions) setQuestions(state, data.questions, at);
  if (data.ended && !state.ended) state.ended = endOf(dict(data.ended), at);
}
