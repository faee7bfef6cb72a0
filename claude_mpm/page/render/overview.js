// All sessions as tables: which needs me, what does each do, since when, what did it cost. Where they run on several
// machines, those that need nobody are grouped by machine.

import { el, text, arrange } from "./dom.js";
import { dollars, running, span, str, ago } from "../plain.js";
import { store, view, ordered, mood, needy, waitingFor, waitingText, until, agentsRunning } from "../store.js";
import { localMachine, machineOf, manyMachines, nameOf } from "../names.js";
import { byMachine, matching } from "../groups.js";
import { open } from "../actions.js";
import { brief, endText } from "../text/phrases.js";
import { Block } from "./block.js";
import { renderSources } from "./sources.js";

const MANY = 24; // sessions from which on they can be filtered
const host = document.getElementById("overview-now");
const title = el("h1", { id: "overview-title", text: "Sessions" });
const filter = el("input", {
  id: "overview-filter", type: "search", placeholder: "Filter by name, branch, machine or directory",
  autocomplete: "off", spellcheck: "false", "aria-label": "Filter sessions",
  on: { input: () => open({ query: filter.value }, { replace: true }) },
});
const none = el("div", { class: "empty" }, el("b"), el("span"));
const blocks = new Map(); // name → Block
const COLUMNS = [1, 2, 3, 4]; // of numbers, that are left out while no session has any
const ALWAYS = 5; // columns that are never left out
const filled = new Set();

/** Draw the overview. `choose(id)` opens a session. */
export function renderOverview(choose) {
  const focused = document.activeElement && document.activeElement.dataset.session;
  filled.clear();
  const all = ordered(),
    fits = view.query ? matching(view.query, wordsOf) : () => true;
  filter.hidden = all.length <= MANY && !view.query;
  if (document.activeElement !== filter && filter.value !== view.query) filter.value = view.query;
  const waiting = needy().filter(fits),
    calling = new Set(waiting),
    others = all.filter((session) => !calling.has(session) && fits(session));
  const live = others.filter((session) => !isOver(session)),
    over = others.filter(isOver);
  const shown = [
    drawn("Needs you", waiting.length, [plain("Needs you", waiting)], choose),
    ...(manyMachines()
      ? [drawn("Machines", waiting.length + others.length, machines(waiting, [...live, ...over]), choose)]
      : [
          drawn("Running", live.length, [plain("Running", live)], choose),
          drawn("Ended", over.length, [plain("Ended", over)], choose),
        ]),
  ].filter(Boolean);
  sayNone(shown.length > 0, all.length > 0);
  arrange(host, [title, renderSources(), filter, ...shown, none]);
  hideEmptyColumns();
  if (!focused || document.activeElement !== document.body) return;
  host.querySelector('[data-session="' + CSS.escape(focused) + '"]')?.focus({ preventScroll: true });
}

function hideEmptyColumns() {
  for (const i of COLUMNS) host.classList.toggle("no-n" + i, !filled.has(i));
  const columns = ALWAYS + filled.size;
  for (const cell of host.querySelectorAll("[colspan]")) if (cell.colSpan !== columns) cell.colSpan = columns;
}

const isOver = (session) => Boolean(session.over || session.shown.ended);

const plain = (key, sessions) => ({ key, machine: null, sessions, all: sessions });

/** A group for each machine. Those that need the reader are in a block of their own, but are counted here as well. */
function machines(waiting, others) {
  const calling = new Set(waiting);
  return byMachine([...others, ...waiting], machineOf, localMachine()).map((group) => ({
    ...group,
    all: group.sessions,
    sessions: group.sessions.filter((session) => !calling.has(session)),
  }));
}

/** The block's element, drawn; null where it has nothing to show. */
function drawn(name, total, groups, choose) {
  if (!total) return null;
  if (!blocks.has(name)) blocks.set(name, new Block(name, choose));
  const block = blocks.get(name);
  block.draw(groups, rowOf);
  return block.root;
}

function sayNone(isAny, isFiltered) {
  none.hidden = isAny;
  const hub = Boolean(store.home && store.home.hub);
  text(none.firstChild, isFiltered ? "No session matches" : hub ? "No sessions on any machine yet" : "No sessions yet");
  text(none.lastChild, isFiltered ? "" : "Start one with: claude-mpm --websocket");
}

const wordsOf = (session) => {
  const { info } = session.shown,
    words = [nameOf(session), str(info.git_branch), machineOf(session), str(info.working_dir), ":" + session.port];
  return words.join(" ");
};

function rowOf(session) {
  const now = session.shown,
    waiting = waitingFor(session),
    [name, mark, word] = mood(session),
    usage = now.usage,
    machine = waiting && manyMachines() ? machineOf(session) : "",
    branch = now.info.git_branch ? "⎇ " + str(now.info.git_branch) : "";
  const doing = waiting
    ? waitingText(waiting) + (brief(waiting.input) ? ": " + brief(waiting.input) : "")
    : now.ended
      ? endText(now.ended)
      : now.lastMessage;
  const since = waiting
    ? running(until(session) - waiting.since)
    : now.ended
      ? ago(Date.now() - now.ended.at)
      : now.startedAt
        ? span(until(session) - now.startedAt)
        : "";
  const numbers = [
    since,
    now.todos && now.todos.stats.total ? now.todos.stats.completed + "/" + now.todos.stats.total : "",
    agentsRunning(now) || "",
    usage && usage.context_percent !== null ? Math.round(usage.context_percent) + " %" : "",
    usage && usage.cost_usd !== null ? dollars(usage.cost_usd, usage.cost_is_estimate) : "",
  ];
  for (const i of COLUMNS) if (numbers[i]) filled.add(i);
  return {
    id: session.id,
    mood: name,
    mark,
    word,
    name: nameOf(session),
    place: [machine, branch, ":" + session.port].filter(Boolean).join(" · "),
    doing,
    numbers,
  };
}
