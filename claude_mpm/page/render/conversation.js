// The conversation: the main thread, one agent's, or all. A window of rows in the document; the rest a button away.

import { el, text, arrange } from "./dom.js";
import { count, plural, span } from "../plain.js";
import { view, isLive } from "../store.js";
import { agentHue } from "../lanes.js";
import { foldCalls, renderRow, tickRunning } from "./tool.js";
import { renderMessage, renderNotice } from "./messages.js";

const $ = (id) => document.getElementById(id);
const PAGE = 160; // rows in the document while the newest are followed, and added by "Show earlier"
const MOST = 320; // rows in the document at most
const nodes = new WeakMap(); // the object a row was made from → its element
const todoNodes = new Map(); // rows of folded todo calls are made anew each time: key → element
const asOne = matchMedia("(max-width: 760px)"); // the page scrolls as one there, and never by itself
const place = { key: "", start: 0, stick: true, flash: 0, count: 0, divider: 0 };
let rows = [],
  last = { nodes: [], first: 0 };

const scroller = () => (asOne.matches ? document.scrollingElement : $("talk"));

/** The thread that a row belongs to: an agent's id, or "" for the main one. */
const threadOf = (row, state) => (row.kind === "call" ? (state.calls.get(row.id) || row).agentId : row.agentId) || "";

let chosenRows = { rows: [] };
/** The rows that the chosen thread shows, with the todo calls folded. */
export function visibleRows(state) {
  const key = [state, state.seq, state.rows.length, state.rows.at(-1), view.agent];
  if (!chosenRows.key || key.some((value, i) => value !== chosenRows.key[i]))
    chosenRows = { key, rows: foldCalls(inThread(state), state) };
  return chosenRows.rows;
}

function inThread(state) {
  if (view.agent === "all") return state.rows;
  if (!view.agent) return state.rows.filter((row) => !threadOf(row, state));
  const agent = state.agents.get(view.agent),
    ids = new Set([view.agent, agent && agent.agentId].filter(Boolean));
  return state.rows.filter((row) => ids.has(threadOf(row, state)));
}

const source = (row, state) =>
  (row.kind === "call" ? state.calls.get(row.id) : row.kind === "delegation" ? state.agents.get(row.key) : row) || row;

/**
 * Draw the conversation.
 *
 * @param {import("../store.js").Session} session
 * @param {Object} state what reduce.js made of its events, at the moment shown
 * @param {Object} ctx for the renderers of single rows
 */
export function renderConversation(session, state, ctx) {
  const key = session.id + " " + view.agent;
  const begin = place.key !== key || !rows.length;
  rows = visibleRows(state);
  if (begin)
    Object.assign(place, {
      key,
      start: Math.max(0, rows.length - PAGE),
      stick: !asOne.matches,
      flash: 0,
      count: rows.length,
      divider: session.read.seq,
    });
  renderThreads(state, ctx);
  const [first, end] = windowOf(rows),
    names = new Map([...state.agents.values()].map((agent) => [agent.agentId, agent]));
  const list = [];
  if (first > 0) list.push(earlier(first));
  let model = "",
    unseen = false;
  rows.slice(first, end).forEach((row) => {
    if (!unseen && place.divider && row.seq > place.divider && row !== rows[0]) {
      unseen = true;
      list.push(divider());
    }
    const node = drawn(row, state, ctx, names);
    if (row.model && row.role === "assistant") {
      node.classList.toggle("newmodel", Boolean(model) && row.model !== model);
      model = row.model;
    }
    list.push(node);
  });
  if (!rows.length) list.push(nothing(session, Boolean(view.agent && view.agent !== "all")));
  arrange($("talk"), list);
  last = { nodes: list, first };
  tickRunning($("talk"), ctx.now);
  settle(session, end);
}

function windowOf(all) {
  if (place.stick) {
    place.start = Math.max(0, all.length - PAGE);
    return [place.start, all.length];
  }
  const first = Math.min(place.start, Math.max(0, all.length - 1));
  return [first, Math.min(all.length, first + MOST)];
}

function settle(session, end) {
  const box = scroller(),
    below = $("talk-down");
  if (place.flash) flash();
  else if (place.stick) box.scrollTop = box.scrollHeight;
  if (place.stick && !document.hidden && document.hasFocus()) session.read.seq = session.seq;
  if (place.stick) place.count = rows.length;
  const fresh = Math.max(0, rows.length - place.count);
  below.hidden = place.stick && end === rows.length;
  text(below, fresh > 0 ? fresh + " new ↓" : "Newest ↓");
}

function flash() {
  const at = rows.findIndex((row) => row.seq === place.flash),
    node = at >= 0 && nodes.get(rows[at]);
  const element = node || last.nodes.find((n) => Number(n.dataset.seq) >= place.flash);
  place.flash = 0;
  if (!element || !element.isConnected) return;
  element.scrollIntoView({ block: "start" });
  element.classList.remove("flash");
  void element.offsetWidth; // restarts the animation
  element.classList.add("flash");
}

/** Scroll to the row of event `seq`, or the first one after it. */
export function showRow(state, seq) {
  rows = visibleRows(state);
  const at = rows.findIndex((row) => row.seq >= seq);
  if (at < 0) return toNewest();
  Object.assign(place, { stick: false, start: Math.max(0, at - 20), flash: rows[at].seq });
}

/** Follow the newest rows again. */
export const toNewest = () => Object.assign(place, { stick: true, flash: 0 });

/** The seq of the prompt before (-1) or after (1) what is at the top of the view; null when there is none. */
export function promptFrom(direction) {
  const top = $("talk").getBoundingClientRect().top,
    nodesHere = last.nodes.filter((n) => n.dataset.seq);
  const current = nodesHere.find((n) => n.getBoundingClientRect().bottom > top + 6),
    seq = current ? Number(current.dataset.seq) : 0;
  const prompts = rows.filter((row) => row.kind === "message" && row.role === "user" && !row.agentId);
  const next = direction > 0 ? prompts.find((row) => row.seq > seq) : prompts.findLast((row) => row.seq < seq);
  return next ? next.seq : null;
}

function earlier(number) {
  const node = $("earlier") || el("button", { id: "earlier", class: "plain", type: "button" });
  text(node, "Show earlier (" + number + ")");
  return node;
}

const divider = () => $("unseen") || el("div", { id: "unseen", class: "mark", text: "new since you looked" });

/** Wire the scrolling. `draw()` asks for a redraw. */
export function wireConversation(draw) {
  const follow = () => {
    const box = scroller(),
      stick = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    if (stick === place.stick || view.name !== "conversation") return;
    const whole = last.first + last.nodes.length >= rows.length;
    if (!stick) Object.assign(place, { stick: false, count: rows.length });
    else if (whole) place.stick = true;
    draw();
  };
  $("talk").addEventListener("scroll", follow);
  addEventListener("scroll", follow);
  $("talk").addEventListener("click", (event) => {
    if (event.target.id !== "earlier") return;
    const box = scroller(),
      height = box.scrollHeight;
    Object.assign(place, { stick: false, start: Math.max(0, last.first - PAGE), count: place.count || rows.length });
    draw();
    requestAnimationFrame(() => (box.scrollTop += box.scrollHeight - height));
  });
  $("talk-down").addEventListener("click", () => {
    toNewest();
    draw();
  });
}

function drawn(row, state, ctx, names) {
  const from = source(row, state),
    key = row.kind === "todos" ? row.seq + " " + row.ids.length + " " + row.steps.length : "";
  const known = key ? todoNodes.get(key) : nodes.get(from),
    unfinished = from.endAt === null;
  if (known && !(unfinished && known.dataset.over !== String(ctx.over))) return known;
  const node = draw(row, state, ctx, names),
    thread = threadOf(row, state),
    agent = names.get(thread);
  Object.assign(node.dataset, { seq: row.seq, over: ctx.over });
  node.classList.toggle("inner", Boolean(thread) && view.agent === "all");
  const hue = row.kind === "delegation" ? from.agent : agent && agent.agent;
  if (hue) node.classList.add("agent-hue-" + agentHue(hue));
  if (!key) nodes.set(from, node);
  else todoNodes.set(key, node);
  if (todoNodes.size > 2 * MOST) todoNodes.delete(todoNodes.keys().next().value);
  return node;
}

function draw(row, state, ctx, names) {
  if (row.kind === "message") return renderMessage(row, names);
  if (row.kind !== "notice") return renderRow(row, state, ctx) || el("div");
  return renderNotice(row);
}

let threadsDrawn = "";
/** The buttons that choose the thread, and a line about the chosen agent. */
function renderThreads(state, ctx) {
  const agent = view.agent && view.agent !== "all" ? state.agents.get(view.agent) : null,
    host = $("threads");
  host.hidden = !state.agents.size && !view.agent;
  if (host.hidden) return;
  const key = [view.agent, agent].map((v) => (v ? v.key || v : "")).join(" ") + (agent ? agent.status : "");
  if (threadsDrawn === key) return;
  threadsDrawn = key;
  const choice = (words, value, pressed) =>
    el("button", {
      class: "plain data cut",
      type: "button",
      "aria-pressed": String(pressed),
      text: words,
      data: { thread: value ? "agent" : "main" },
      on: { click: () => ctx.onAgent(value) },
    });
  const over = agent && agent.status !== "started";
  const facts = agent
    ? [
        agent.task,
        agent.status === "started"
          ? "running"
          : agent.status +
            (span(agent.durationMs ?? agent.endAt - agent.at)
              ? " in " + span(agent.durationMs ?? agent.endAt - agent.at)
              : ""),
        agent.toolUses !== null && plural(agent.toolUses, "tool call"),
        agent.tokens !== null && count(agent.tokens) + " tokens",
        agent.background && "background",
        over && agent.reason,
      ]
    : [];
  host.replaceChildren(
    choice("Main thread", null, !view.agent),
    choice("All threads", "all", view.agent === "all"),
    agent ? choice(agent.agent + " ✕", null, true) : "",
    el("span", { class: "info data cut grow", text: facts.filter(Boolean).join(" · ") }),
  );
  if (agent) host.children[2].setAttribute("aria-label", "Close the thread of this agent");
}

function nothing(session, agent) {
  const node = $("talk-none") || el("div", { id: "talk-none", class: "empty" }, el("b"), el("span"));
  text(node.firstChild, agent ? "Nothing from this agent yet" : "No conversation yet");
  text(
    node.lastChild,
    agent
      ? "Its messages and tool calls appear here as it writes them. Claude 1.x shows them only when the agent is done."
      : isLive(session) && session.shown.startedAt
        ? "Type a first prompt in Claude's terminal; messages and tool calls appear here as they happen."
        : "Nothing was said in this session.",
  );
  return node;
}
