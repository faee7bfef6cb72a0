// Rows of a conversation, with what belongs together in one row: consecutive changes of the todo list, and an agent's
// call with its delegation. Pure.

import { dict, line, list, str } from "./plain.js";
import { visible } from "./text/text.js";

const TODO_TOOLS = new Set(["TodoWrite", "TaskCreate", "TaskUpdate", "TaskList", "TaskGet", "TodoRead"]);
const AGENT_TOOLS = new Set(["Agent", "Task"]);
const MAX_NAME = 200; // characters of a todo in a row

/**
 * @typedef {{mark: "added"|"started"|"completed"|"reopened"|"removed"|"changed", text: string}} TodoStep
 * @typedef {{kind: "todos", seq: number, at: number, ids: string[], agentId: string|null, steps: TodoStep[]}} TodosRow
 */

/**
 * Fold rows for display: each run of consecutive successful todo calls of one agent becomes one row of kind "todos"
 * (one that changes nothing disappears), and the call of an agent gives way to its delegation. All other rows are the
 * same objects as before.
 * @param {object[]} rows a session's rows, or a stretch of them
 * @param {object} state the session
 * @returns {object[]}
 */
export function foldCalls(rows, state) {
  const steps = new TodoSteps(state);
  const delegated = new Set();
  for (const agent of state.agents.values()) if (agent.toolUseId) delegated.add(agent.toolUseId);
  const result = [];
  let open = null;
  for (const row of rows) {
    const call = row.kind === "call" ? state.calls.get(row.id) : null;
    if (call && AGENT_TOOLS.has(call.tool) && delegated.has(call.id)) continue;
    if (!call || !TODO_TOOLS.has(call.tool) || call.ok === false) {
      open = null;
      result.push(row);
      continue;
    }
    if (!open || open.agentId !== (call.agentId ?? null)) {
      open = { kind: "todos", seq: row.seq, at: row.at, ids: [], agentId: call.agentId ?? null, steps: [] };
      result.push(open);
    }
    open.ids.push(call.id);
    open.steps.push(...steps.of(call));
  }
  return result.filter((row) => row.kind !== "todos" || row.steps.length);
}

/** What each todo call of a session changed; made once per fold, so that a name is searched for in one place. */
class TodoSteps {
  constructor(state) {
    this.state = state;
    this.creations = null; // id -> [{seq, name}], oldest first: ids begin again after /clear
    this.lists = null; // call id of a TodoWrite -> the list before it
  }

  of(call) {
    const input = dict(call.input);
    if (call.tool === "TaskCreate") return [step("added", str(input.subject))];
    if (call.tool === "TaskUpdate") return this.update(call, input);
    return call.tool === "TodoWrite" ? this.rewrite(call, list(input.todos)) : [];
  }

  update(call, input) {
    const mark = UPDATE_MARKS.get(input.status);
    if (!mark && input.status === undefined && !Object.keys(input).some((key) => key !== "taskId")) return [];
    return [step(mark ?? "changed", str(input.subject) || this.nameOf(str(input.taskId), call.seq))];
  }

  nameOf(taskId, seq) {
    this.creations ??= creations(this.state);
    const made = (this.creations.get(taskId) ?? []).filter((one) => one.seq <= seq).at(-1);
    if (made) return made.name;
    const todo = list(this.state.todos?.todos).find((one) => str(dict(one).id) === taskId);
    return str(todo?.content) || "Todo " + taskId;
  }

  rewrite(call, todos) {
    this.lists ??= previousLists(this.state);
    const before = new Map(
      (this.lists.get(call.id) ?? []).map((todo) => [str(dict(todo).content), str(dict(todo).status)]),
    );
    const steps = [];
    for (const todo of todos.slice(0, 200).map(dict)) {
      const name = str(todo.content),
        status = str(todo.status),
        old = before.get(name);
      before.delete(name);
      if (old === undefined)
        steps.push(step(status === "pending" ? "added" : (UPDATE_MARKS.get(status) ?? "added"), name));
      else if (old !== status)
        steps.push(step(status === "pending" ? "reopened" : (UPDATE_MARKS.get(status) ?? "changed"), name));
    }
    for (const [name, status] of before) if (status !== "completed") steps.push(step("removed", name));
    return steps;
  }
}

const UPDATE_MARKS = new Map([
  ["pending", "reopened"],
  ["in_progress", "started"],
  ["completed", "completed"],
  ["deleted", "removed"],
  ["cancelled", "removed"],
]);

const step = (mark, text) => ({ mark, text: line(visible(text), MAX_NAME) || "(no name)" });

/** The tasks by id, from the results of TaskCreate: "Task #3 created successfully: Summarise". */
function creations(state) {
  const found = new Map();
  for (const call of state.calls.values()) {
    if (call.tool !== "TaskCreate") continue;
    const id = /^Task #(\S+) created/.exec(str(call.summary))?.[1];
    if (!id) continue;
    if (!found.has(id)) found.set(id, []);
    found.get(id).push({ seq: call.seq, name: str(dict(call.input).subject) });
  }
  return found;
}

function previousLists(state) {
  const found = new Map(),
    newest = new Map();
  for (const call of state.calls.values()) {
    if (call.tool !== "TodoWrite") continue;
    found.set(call.id, newest.get(call.agentId ?? null) ?? []);
    if (call.ok !== false) newest.set(call.agentId ?? null, list(dict(call.input).todos));
  }
  return found;
}
