// Every event as it came, in a list with as many rows in the document as fit.

import { el, text, attr, prop } from "./dom.js";
import { clock, count, dict, line, plainJson, plural } from "../plain.js";
import { view } from "../store.js";
import { nameOf } from "../names.js";
import { off, renderTypes, toggleType } from "./event_types.js";
import { coloured } from "./json.js";
import { summary } from "../tools/summaries.js";

const ROW = 24; // px, as --row in style.css
const host = document.getElementById("panel-events");
const at = { key: "", records: [], shown: null, paused: null, pausedAt: 0, event: null, follow: true };
const pool = [];

const button = (id, words, run, more = {}) =>
  el("button", { id, class: "plain", type: "button", text: words, on: { click: run }, ...more });
const els = {};
/** What the view is built of. `draw()` asks for a redraw. */
export function wireEvents(draw) {
  els.draw = draw;
  els.kinds = el("div", { id: "kinds", class: "menu", hidden: true, role: "group", "aria-label": "Event types" });
  els.menu = button("kinds-button", "Types", openKinds, { "aria-expanded": "false", "aria-controls": "kinds" });
  els.sum = el("span", { id: "event-sum", class: "info num" });
  els.pause = button("pause", "Pause", () => pause(!at.paused), { "aria-pressed": "false" });
  els.export = button("export", "Export JSONL", exportShown);
  els.spacer = el("div", { id: "spacer", role: "presentation" });
  els.list = el(
    "div",
    { id: "list", tabindex: "0", role: "listbox", "aria-label": "Events", on: { scroll: onScroll, keydown: onKey } },
    els.spacer,
  );
  els.none = el("div", { id: "list-none", class: "empty", hidden: true });
  els.title = el("b", { id: "detail-title", class: "data cut grow" });
  els.json = el("pre", { id: "json", class: "data", tabindex: "0" });
  els.copy = button("copy", "Copy JSON", copy);
  els.detail = el(
    "aside",
    { id: "detail", "aria-label": "One event", hidden: true },
    el(
      "div",
      { class: "tools" },
      els.title,
      els.copy,
      button("detail-close", "✕", closeEvent, { "aria-label": "Close this event" }),
    ),
    els.json,
  );
  els.down = el("button", {
    id: "list-down",
    class: "down",
    type: "button",
    text: "Newest ↓",
    hidden: true,
    on: { click: newestEvent },
  });
  els.body = el("div", { id: "event-body" }, els.list, els.none, els.detail, els.down);
  host.replaceChildren(
    el("div", { class: "tools" }, els.menu, els.kinds, els.sum, el("span", { class: "grow" }), els.pause, els.export),
    els.body,
  );
  document.addEventListener("click", (event) => {
    if (!els.kinds.hidden && !host.firstChild.contains(event.target)) els.menu.click();
  });
}

function openKinds() {
  els.kinds.hidden = !els.kinds.hidden;
  attr(els.menu, "aria-expanded", !els.kinds.hidden);
  els.draw();
}

/** Whether terminal output is wanted. */
export const wantsOutput = () => !off.has("claude.output");

const matches = (event) =>
  !off.has(event.type) && (!at.query || JSON.stringify(event).toLowerCase().includes(at.query));

/** The events that the list shows for a session up to the moment looked at. */
function records(session, range) {
  if (at.paused) return at.paused;
  const log = session.log,
    limit = session.cursor && !session.cursor.live ? session.cursor.position : log.length;
  const key = [session.id, view.query, [...off].sort().join(), range ? range.join("-") : ""].join("\n"),
    noise = session.noise.length ? session.noise.at(-1).seq : 0;
  if (at.key !== key || limit < at.upTo || noise !== at.noise || log.first !== at.first)
    Object.assign(at, { key, records: [], upTo: log.first, noise, first: log.first, query: view.query.toLowerCase() });
  const inRange = (event) =>
    !range || (Date.parse(event.timestamp) >= range[0] && Date.parse(event.timestamp) <= range[1]);
  if (at.upTo < limit) {
    const fresh = log.events(at.upTo, limit).filter((event) => matches(event) && inRange(event));
    const wanted = at.upTo === log.first ? session.noise.filter((event) => matches(event) && inRange(event)) : [];
    at.records = at.records.concat(fresh);
    if (wanted.length) at.records = at.records.concat(wanted).sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0));
    at.upTo = limit;
  }
  return at.records;
}

/** Draw the events of a session; `range` [from, to] in ms limits them. Returns how many match. */
export function renderEvents(session, range) {
  at.session = session;
  const shown = (at.shown = records(session, range)),
    all = session.log.length - session.log.first + session.noise.length;
  renderTypes(els.kinds, els.menu, session, toggle);
  text(els.sum, shown.length === all ? plural(all, "event") : count(shown.length) + " of " + plural(all, "event"));
  attr(els.pause, "aria-pressed", Boolean(at.paused));
  const missed = at.paused ? session.total - at.pausedAt : 0;
  text(els.pause, at.paused ? (missed ? "Resume (" + count(missed) + " new)" : "Resume") : "Pause");
  els.export.disabled = !shown.length;
  els.list.hidden = !shown.length;
  els.none.hidden = shown.length > 0;
  if (!shown.length)
    els.none.replaceChildren(
      el("b", { text: all ? "Nothing matches" : "No events yet" }),
      el("span", {
        text: all ? "Clear the search, or show more types." : "Every event of this session appears here, newest last.",
      }),
    );
  prop(els.spacer, "height", shown.length * ROW + "px");
  if (at.follow && !at.paused) els.list.scrollTop = shown.length * ROW;
  els.down.hidden = !shown.length || (at.follow && !at.paused);
  renderRows();
  els.detail.hidden = !at.event;
  els.body.classList.toggle("split", Boolean(at.event));
  return shown.length;
}

function toggle(type, only) {
  toggleType(at.session, type, only);
  if (at.paused) pause(false);
  els.draw();
}

function renderRows() {
  const shown = at.shown || [],
    top = els.list.scrollTop,
    need = Math.ceil((els.list.clientHeight || 400) / ROW) + 12;
  const first = Math.max(0, Math.min(Math.floor(top / ROW) - 6, shown.length - need)),
    last = Math.min(shown.length, first + need);
  while (pool.length < last - first) addRow();
  let active = null;
  pool.forEach((row, i) => {
    const index = first + i,
      event = index < last ? shown[index] : null;
    row.element.hidden = !event;
    if (!event) return;
    if (row.index !== index) prop(row.element, "--y", (row.index = index) * ROW + "px");
    attr(row.element, "aria-setsize", shown.length);
    attr(row.element, "aria-posinset", index + 1);
    attr(row.element, "aria-selected", event === at.event);
    if (event === at.event) active = row.element.id;
    if (row.event !== event) fillRow(row, event);
  });
  attr(els.list, "aria-activedescendant", active);
}

function addRow() {
  const element = el(
    "div",
    { class: "row", role: "option", id: "row" + pool.length },
    el("span", { class: "at" }),
    el("span", { class: "no" }),
    el("span", { class: "kind cut" }),
    el("span", { class: "what data cut" }),
  );
  const row = { element, event: null, index: -1 };
  element.addEventListener("click", () => showEvent(row.event));
  pool.push(row);
  els.spacer.append(element);
}

function fillRow(row, event) {
  row.event = event;
  const [time, number, kind, what] = row.element.children,
    data = dict(event.data);
  const bad =
    event.type === "system.error" ||
    data.ok === false ||
    data.status === "failed" ||
    (event.type === "session.end" && (data.signal || data.exit_code));
  row.element.className = "row" + (event.type === "system.gap" ? " gap" : bad ? " bad" : "");
  text(time, clock(Date.parse(event.timestamp), true));
  text(number, event.type === "system.gap" ? "⋯" : String(event.seq ?? ""));
  text(kind, event.type);
  text(what, line(summary(event.type, data)));
}

function onScroll() {
  const follow = els.list.scrollHeight - els.list.scrollTop - els.list.clientHeight < ROW;
  if (follow !== at.follow) {
    at.follow = follow;
    els.draw();
  }
  renderRows();
}

const STEPS = new Map([
  ["ArrowDown", 1],
  ["ArrowUp", -1],
  ["PageDown", 15],
  ["PageUp", -15],
  ["End", Infinity],
  ["Home", -Infinity],
]);
function onKey(event) {
  const step = STEPS.get(event.key),
    shown = at.shown;
  if (!step || !shown || !shown.length) return;
  event.preventDefault();
  event.stopPropagation();
  const from = at.event ? shown.indexOf(at.event) : step > 0 ? -1 : shown.length;
  const to = Math.max(0, Math.min(shown.length - 1, from + step)),
    y = to * ROW;
  at.follow = to === shown.length - 1;
  if (y < els.list.scrollTop) els.list.scrollTop = y;
  else if (y + ROW > els.list.scrollTop + els.list.clientHeight) els.list.scrollTop = y + ROW - els.list.clientHeight;
  showEvent(shown[to]);
}

/** Show one event whole, beside the list. */
export function showEvent(event) {
  at.event = event || null;
  if (event) {
    text(els.title, event.type + " · " + clock(Date.parse(event.timestamp), true));
    els.json.replaceChildren(...coloured(JSON.stringify(event, null, 2)));
    els.json.scrollTop = 0;
  }
  els.draw();
}

/** Show the event with this seq. */
export const showSeq = (session, seq) => {
  at.follow = false;
  showEvent(session.log.events().find((event) => event.seq === seq));
};

/** Close the event that is shown whole. Returns false when there is none. */
export function closeEvent() {
  if (!at.event) return false;
  showEvent(null);
  els.list.focus();
  return true;
}

/** Pause or resume the list. */
export function pause(on) {
  Object.assign(at, {
    paused: on && at.shown ? at.shown.slice() : null,
    pausedAt: at.session ? at.session.total : 0,
    key: "",
  });
  els.draw();
}
export const togglePause = () => pause(!at.paused);

/** Follow the newest event again. */
export function newestEvent() {
  at.follow = true;
  if (at.paused) pause(false);
  els.draw();
}

/** One line of a JSONL export, with nothing unprintable in it. */
export const exportLine = (event) => plainJson(JSON.stringify(event)) + "\n";

function exportShown() {
  const url = URL.createObjectURL(new Blob(at.shown.map(exportLine), { type: "application/x-ndjson" }));
  const link = el("a", {
    href: url,
    download: (nameOf(at.session).replace(/[^\w.-]+/g, "_") || "session") + "-events.jsonl",
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(plainJson(JSON.stringify(at.event, null, 2)));
    text(els.copy, "Copied");
  } catch {
    text(els.copy, "Not allowed");
  }
  setTimeout(() => text(els.copy, "Copy JSON"), 1500);
}
