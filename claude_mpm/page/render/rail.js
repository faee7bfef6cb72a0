// The list of sessions beside everything. Its order never changes under the hand: newest start first.

import { el, text, attr, prop, shape, arrange } from "./dom.js";
import { count, dollars, str, running, span, base, dict } from "../plain.js";
import {
  store,
  view,
  ordered,
  mood,
  waitingFor,
  waitingText,
  nameOf,
  labelOf,
  until,
  agentsRunning,
  tokensOf,
  forget,
} from "../store.js";
import { brief, endText } from "../phrases.js";
import { hasEarlier } from "./earlier.js";

const cards = new Map();
const host = document.getElementById("cards");

function makeCard(id, choose) {
  const part = {
    mark: shape(""),
    name: el("b", { class: "data cut" }),
    time: el("span", { class: "num time" }),
    why: el("span", { class: "data cut" }),
    since: el("span", { class: "num time" }),
    last: el("span", { class: "data cut" }),
    branch: el("span", { class: "data cut" }),
    port: el("span", { class: "num" }),
    bar: el("i"),
    todos: el("span", { class: "num" }),
    agents: el("span", { class: "num" }),
    spent: el("span", { class: "num" }),
  };
  part.todo = el("span", { class: "todo" }, el("span", { class: "track" }, part.bar), part.todos);
  part.lastLine = el("span", { class: "last" }, part.last);
  part.meta = el("span", { class: "meta" }, part.todo, part.agents, part.spent);
  part.button = el(
    "button",
    { class: "card", type: "button", on: { click: () => choose(id) } },
    el("span", { class: "top" }, part.mark, part.name, part.time),
    el("span", { class: "place" }, part.branch, part.port),
    el("span", { class: "why" }, part.why, part.since),
    part.lastLine,
    part.meta,
  );
  part.close = el("button", { class: "dismiss", type: "button", text: "✕", on: { click: () => forget(id) } });
  part.item = el("li", {}, part.button, part.close);
  return part;
}

/** Draw the rail. `choose(id)` selects a session, or "port N" for one that could not be reached. */
export function renderRail(choose) {
  const sessions = ordered(),
    strangers = [...store.links.values()].filter((l) => !l.session && l.state !== "connecting" && l.state !== "over");
  const keys = [...sessions.map((s) => s.id), ...strangers.map((l) => "port " + l.port)];
  const alone = !keys.length && !(view.session && hasEarlier());
  document.getElementById("rail").hidden = alone;
  document.getElementById("app").classList.toggle("alone", alone);
  text(document.getElementById("rail-count"), String(keys.length));
  for (const key of keys) if (!cards.has(key)) cards.set(key, makeCard(key, choose));
  for (const key of cards.keys()) if (!keys.includes(key)) cards.delete(key);
  sessions.forEach((session) => fill(cards.get(session.id), session));
  strangers.forEach((link) => fillStranger(cards.get("port " + link.port), link));
  const focus = document.activeElement;
  arrange(
    host,
    keys.map((key) => cards.get(key).item),
  );
  if (focus && focus !== document.activeElement && focus.isConnected) focus.focus({ preventScroll: true });
}

function fill(card, session) {
  const now = session.shown,
    [name, mark, word] = mood(session),
    over = session.over || now.ended,
    waiting = waitingFor(session);
  attr(card.button, "data-mood", name);
  attr(card.button, "aria-current", session.id === view.session ? "true" : null);
  text(card.mark, mark);
  text(card.name, nameOf(session));
  text(card.branch, now.info.git_branch ? "⎇ " + str(now.info.git_branch) : str(now.info.working_dir));
  text(card.port, session.port ? ":" + session.port : "");
  text(
    card.why,
    waiting
      ? waitingText(waiting)
      : now.ended
        ? endText(now.ended)
        : session.over === "gone"
          ? "connection lost; the process is gone"
          : word,
  );
  text(card.since, waiting ? running(until(session) - waiting.since) : "");
  const last = waiting ? brief(waiting.input) || waiting.message || now.lastMessage : now.lastMessage;
  text(card.last, last);
  card.lastLine.hidden = !last;
  const stats = now.todos && now.todos.stats.total ? now.todos.stats : null,
    agents = over ? 0 : agentsRunning(now),
    tokens = tokensOf(now.usage);
  card.todo.hidden = !stats;
  if (stats) prop(card.bar, "--part", stats.completed / stats.total);
  text(card.todos, stats ? stats.completed + "/" + stats.total : "");
  text(card.agents, agents ? agents + (agents === 1 ? " agent" : " agents") : "");
  const usage = now.usage,
    context = usage && usage.context_percent;
  text(
    card.spent,
    usage
      ? [
          context !== null && Math.round(context) + " %",
          count(tokens.input + tokens.output) + " tok",
          usage.cost_usd !== null && dollars(usage.cost_usd, usage.cost_is_estimate),
        ]
          .filter(Boolean)
          .join(" · ")
      : "",
  );
  card.meta.hidden = !(stats || agents || usage);
  text(card.time, now.startedAt ? span(until(session) - now.startedAt) : "");
  attr(card.button, "title", str(now.info.working_dir) + "  :" + session.port);
  card.close.hidden = !over;
  card.button.classList.toggle("closable", Boolean(over));
  attr(card.close, "aria-label", "Remove " + labelOf(session) + " from the list");
}

function fillStranger(card, link) {
  const info = dict(link.info);
  attr(card.button, "data-mood", link.state === "refused" ? "failed" : "lost");
  attr(card.button, "aria-current", view.session === "port " + link.port ? "true" : null);
  text(card.mark, link.state === "refused" ? "✕" : "◌");
  text(card.name, str(info.name) || base(info.working_dir) || "port " + link.port);
  text(card.branch, info.git_branch ? "⎇ " + str(info.git_branch) : "");
  text(card.port, ":" + link.port);
  text(card.why, link.state === "refused" ? "refused" : "connection lost");
  text(card.last, link.why);
  card.lastLine.hidden = !link.why;
  card.meta.hidden = card.close.hidden = true;
}
