// The list of sessions beside everything. Its order never changes under the hand: newest start first.

import { el, text, attr, prop, shape, arrange } from "./dom.js";
import { count, dollars, str, running, span, base, dict, plural } from "../plain.js";
import {
  store,
  view,
  ordered,
  mood,
  waitingFor,
  waitingText,
  until,
  agentsRunning,
  tokensOf,
  forget,
  redraw,
} from "../store.js";
import { labelOf, localMachine, machineOf, manyMachines, nameOf } from "../names.js";
import { byMachine, share } from "../groups.js";
import { open } from "../actions.js";
import { brief, endText } from "../text/phrases.js";
import { hasEarlier } from "./earlier.js";
import { fillMachine, machineHead } from "./machine_head.js";
import { Opened, fillMore, moreButton } from "./more.js";

const SHOWN = 32; // cards; where sessions are more, each machine has a share
const GROUPS = 16; // machines; the others are in the overview
const HUBS = 3; // links to hubs
const COMING = new Set(["connecting", "over"]); // states of a link that is no card yet, or no more

const cards = new Map(); // session id, or "port N" → parts of a card
const heads = new Map(); // machine → parts of its heading
const mores = new Map(); // machine → the button for its other sessions; null: for those of other machines
const opened = new Opened(24);
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
    strangers = [...store.links.values()].filter((l) => !l.session && !l.hub && !COMING.has(l.state));
  const count = sessions.length + strangers.length,
    alone = !count && !(view.session && hasEarlier());
  document.getElementById("rail").hidden = alone;
  document.getElementById("app").classList.toggle("alone", alone);
  text(document.getElementById("rail-count"), String(count));
  const shared = share(grouped(sessions), { budget: SHOWN, mostGroups: GROUPS, must: isWanted, opened }),
    items = shared.groups.flatMap((group) => itemsOf(group, choose));
  for (const link of strangers) items.push(cardOf("port " + link.port, choose, (card) => fillStranger(card, link)));
  if (shared.rest.length) items.push(restOf(shared.rest));
  forgetUnused();
  const focus = document.activeElement;
  arrange(host, items);
  if (focus && focus !== document.activeElement && focus.isConnected) focus.focus({ preventScroll: true });
  renderHubs();
}

/** By machine where there are several, else as one group without a name. */
const grouped = (sessions) =>
  manyMachines() ? byMachine(sessions, machineOf, localMachine()) : [{ key: "", machine: null, sessions }];

const isWanted = (session) => session.id === view.session || Boolean(waitingFor(session));

function itemsOf({ key, machine, sessions, shown, hidden }, choose) {
  const items = shown.map((session) => cardOf(session.id, choose, (card) => fill(card, session)));
  if (machine !== null) {
    const head = used(heads, key, makeHead);
    fillMachine(head, { machine, sessions });
    items.unshift(head.item);
  }
  if (hidden.length) {
    const more = used(mores, key, () => makeMore(() => showMore(key)));
    const where = opened.isFull(key) ? " in the overview" : "";
    fillMore(more.button, hidden.length, hidden.filter(waitingFor).length, where);
    items.push(more.item);
  }
  return items;
}

function cardOf(key, choose, fillIt) {
  const card = used(cards, key, () => makeCard(key, choose));
  fillIt(card);
  return card.item;
}

function showMore(key) {
  if (!opened.open(key)) open({ session: null, query: key });
  else redraw();
}

function restOf(groups) {
  const rest = used(mores, null, () => makeMore(() => open({ session: null }))),
    sessions = groups.flatMap((group) => group.sessions);
  const where = " on " + plural(groups.length, "other machine");
  fillMore(rest.button, sessions.length, sessions.filter(waitingFor).length, where);
  return rest.item;
}

const makeMore = (onClick) => {
  const button = moreButton(onClick);
  return { button, item: el("li", {}, button) };
};

const makeHead = () => {
  const head = machineHead();
  head.item = el("li", { class: "machine" }, head.root);
  return head;
};

const drawn = new Set(); // the parts of this frame
/** The part of this key, made where there is none yet. */
function used(parts, key, make) {
  if (!parts.has(key)) parts.set(key, make());
  const part = parts.get(key);
  drawn.add(part);
  return part;
}

function forgetUnused() {
  for (const parts of [cards, heads, mores])
    for (const [key, part] of parts) if (!drawn.has(part)) parts.delete(key);
  drawn.clear();
}

let hubs = "";
/** In the page of one session: where all machines are shown, if a hub runs here. */
function renderHubs() {
  const key = store.hubs.map((info) => info.port).join(" ");
  if (key === hubs) return;
  hubs = key;
  const place = document.getElementById("hubs"),
    address = (info) => location.protocol + "//" + location.hostname + ":" + info.port + "/";
  const link = (info) => el("a", { href: address(info), text: "All machines :" + info.port });
  place.hidden = !store.hubs.length;
  place.replaceChildren(...store.hubs.slice(0, HUBS).flatMap((info) => [link(info), " "]));
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
  attr(card.button, "title", str(now.info.working_dir) + "  " + (machineOf(session) || "") + ":" + session.port);
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
