// All sessions as a table: which needs me, what does each do, since when, what did it cost.

import { el, shape } from "./dom.js";
import { dollars, running, span, str, ago } from "../plain.js";
import { ordered, mood, needy, waitingFor, waitingText, nameOf, until, agentsRunning } from "../store.js";
import { brief, endText } from "../phrases.js";

const host = document.getElementById("overview-now");
let drawn = "";

/** Draw the overview. `choose(id)` opens a session. */
export function renderOverview(choose) {
  const waiting = needy(),
    others = ordered().filter((session) => !waiting.includes(session)),
    live = others.filter((s) => !s.over && !s.shown.ended);
  const over = others.filter((session) => session.over || session.shown.ended);
  const blocks = [
    ["Needs you", waiting],
    ["Running", live],
    ["Ended", over],
  ].filter(([, sessions]) => sessions.length);
  const content = blocks.map(([title, sessions]) => [title, sessions.map(cells)]),
    key = JSON.stringify(content);
  if (key === drawn) return;
  drawn = key;
  const focused = document.activeElement && document.activeElement.dataset.session;
  host.replaceChildren(
    el("h1", { id: "overview-title", text: "Sessions" }),
    ...blocks.map(([title, sessions], i) => block(title, sessions, content[i][1], choose)),
  );
  if (!blocks.length)
    host.append(
      el(
        "div",
        { class: "empty" },
        el("b", { text: "No sessions yet" }),
        el("span", { text: "Start one with: claude-mpm --websocket" }),
      ),
    );
  if (focused) host.querySelector('[data-session="' + CSS.escape(focused) + '"]')?.focus();
}

function cells(session) {
  const now = session.shown,
    waiting = waitingFor(session),
    [name, mark, word] = mood(session),
    usage = now.usage;
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
  return [
    session.id,
    name,
    mark,
    word,
    nameOf(session),
    (now.info.git_branch ? "⎇ " + str(now.info.git_branch) + " · " : "") + ":" + session.port,
    doing,
    since,
    now.todos && now.todos.stats.total ? now.todos.stats.completed + "/" + now.todos.stats.total : "",
    agentsRunning(now) || "",
    usage && usage.context_percent !== null ? Math.round(usage.context_percent) + " %" : "",
    usage && usage.cost_usd !== null ? dollars(usage.cost_usd, usage.cost_is_estimate) : "",
  ];
}

const HEADS = ["State", "Session", "", "What it does", "Since", "Todos", "Agents", "Context", "Cost"];

function block(title, sessions, contents, choose) {
  const row = ([id, name, mark, word, label, place, doing, ...numbers]) =>
    el(
      "tr",
      { data: { mood: name } },
      el("td", { class: "state" }, shape(mark), word),
      el(
        "th",
        { scope: "row" },
        el("button", {
          type: "button",
          class: "open data cut",
          text: label,
          data: { session: id },
          on: { click: () => choose(id) },
        }),
      ),
      el("td", { class: "place data cut", text: place }),
      el("td", { class: "doing data cut", text: doing }),
      numbers.map((value, i) => el("td", { class: "num n" + i, text: String(value) })),
    );
  return el(
    "section",
    {},
    el("h2", { text: title + " · " + sessions.length }),
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          HEADS.map((head) => el("th", { scope: "col", text: head || "Branch, port" })),
        ),
      ),
      el("tbody", {}, contents.map(row)),
    ),
  );
}
