// The todo list and every change of it.

import { el, prop, shape } from "./dom.js";
import { clock } from "../plain.js";

const host = document.getElementById("panel-todos");
const MARKS = new Map([
  ["completed", "✔"],
  ["in_progress", "▶"],
  ["pending", "○"],
]);
const WORDS = new Map([
  ["in_progress", "started"],
  ["completed", "completed"],
  ["pending", "back to pending"],
]);
const LOGGED = 60; // newest changes shown
let drawn = [];

/** How one change reads: "added", "started", "completed", "removed". */
function change({ from, to }) {
  if (from === null) return to === "pending" ? "added" : "added, " + (WORDS.get(to) || to);
  return WORDS.get(to) || to;
}

/** Draw the todo list of a state. */
export function renderTodos(state) {
  const inputs = [state.todos, state.todoChanges.at(-1)];
  if (drawn.length && inputs.every((value, i) => value === drawn[i])) return;
  drawn = inputs;
  const todos = state.todos ? state.todos.todos : [],
    stats = state.todos ? state.todos.stats : null;
  if (!todos.length && !state.todoChanges.length) return void host.replaceChildren(none());
  const bar = el("i"),
    track = el("span", { class: "track" }, bar);
  if (stats && stats.total) prop(bar, "--part", stats.completed / stats.total);
  const head = el(
    "div",
    { id: "todo-head" },
    el("h2", { text: "Todos" }),
    track,
    el("span", { id: "todo-sum", class: "num", text: stats ? stats.completed + " of " + stats.total : "" }),
  );
  const entries = state.todoChanges
    .flatMap(({ at, changes }) => changes.map((entry) => [at, entry]))
    .slice(-LOGGED)
    .reverse();
  host.replaceChildren(
    head,
    el("ul", { id: "todo-list" }, todos.map(item)),
    el("h2", { text: "Changes" }),
    el(
      "ol",
      { id: "todo-log" },
      entries.map(([at, entry]) =>
        el(
          "li",
          {},
          el("time", { class: "num", text: clock(at) }),
          el("span", { class: "data", text: change(entry) + ": " + entry.content }),
        ),
      ),
    ),
  );
}

function item(todo) {
  const known = MARKS.has(todo.status) ? todo.status : "pending";
  const words = todo.status === "in_progress" && todo.active_form ? todo.active_form : todo.content;
  return el(
    "li",
    { class: known },
    shape(MARKS.get(known)),
    el("span", { class: "sr", text: todo.status.replace("_", " ") + ": " }),
    el("span", { class: "what data", text: words }),
    todo.owner ? el("span", { class: "owner data", text: todo.owner }) : null,
  );
}

const none = () =>
  el(
    "div",
    { class: "empty" },
    el("b", { text: "No todo list" }),
    el("span", {
      text: "When Claude plans its work as todos or tasks, the list and its changes appear here. Small jobs have none.",
    }),
  );
