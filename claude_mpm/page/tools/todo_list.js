// The todo list of a session, and what changed in it. Pure.

import { list, dict, plural, str } from "../plain.js";
import { trim } from "../rows.js";

const TODO_CHANGES = 500; // kept per session

/** Replace the list, and remember how it differs from the one before. */
export function setTodos(state, data, at, seq) {
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
