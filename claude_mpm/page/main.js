// The page's start: take the address, connect, and draw once per animation frame whatever changed.

import { el, text, attr } from "./render/dom.js";
import { str } from "./plain.js";
import { Cursor } from "./time.js";
import { store, view, prefs, setPref, listen, redraw, changed, ordered, needy, stateOf, isLive, until } from "./store.js";
import { connect, startHeartbeat, heartbeat, setToken } from "./links.js";
import { VIEWS, go, read } from "./route.js";
import { listenForKeys } from "./keys.js";
import { attend, chime } from "./attention.js";
import { renderRail } from "./render/rail.js";
import { renderBar, renderHead } from "./render/header.js";
import { renderNeeds } from "./render/needs.js";
import { renderOverview } from "./render/overview.js";
import { renderTodos } from "./render/todos.js";
import { renderScreen } from "./render/screen.js";
import * as conversation from "./render/conversation.js";
import * as events from "./render/events.js";
import * as search from "./render/search.js";
import { Timeline } from "./render/timeline.js";
import { renderChanges } from "./render/changes.js";
import { describe } from "./tools.js";
import { renderPart } from "./render/parts.js";

const $ = (id) => document.getElementById(id);
const TITLES = new Map([["conversation", "Conversation"], ["changes", "Changes"], ["screen", "Screen"], ["events", "Events"], ["numbers", "Numbers"], ["todos", "Todos"]]);
let chosen = false; // whether the reader or the address chose what is looked at
let range = null; // [from, to] in ms selected on the timeline
let timeline = null;
const opened = new Map(); // rows that the reader opened or closed, by key
let file = null; // the file that the Changes view shows open

const selected = () => store.sessions.get(view.session) || null;

function choose(id) {
  chosen = true;
  go({ session: id });
  range = null;
  attend(choose);
  redraw();
}
function open(changes, how) {
  chosen = true;
  go(changes, how);
  redraw();
}
const openThread = (key) => open({ name: "conversation", agent: key === view.agent ? null : key });

/** The address wins; without one, the session that served this page is shown. */
function settleView() {
  const home = store.home && store.home.session;
  if (!chosen && !view.session && home) go({ session: home.id }, { replace: true });
}

// --- drawing ------------------------------------------------------------------------------------------------
let due = false, soon = 0;
function schedule() {
  if (due || document.hidden) return;
  due = true;
  requestAnimationFrame((now) => {
    due = false;
    draw(now);
  });
}

function draw(now) {
  settleView();
  const session = selected();
  if (session && session.cursor && session.cursor.playing && session.cursor.tick(now)) go({ at: session.cursor.at }, { replace: true });
  renderBar(session);
  renderRail(choose);
  renderStart(session);
  $("one").hidden = !session;
  const overview = !session && !view.session && (chosen || store.sessions.size > 0);
  $("overview").hidden = !overview || !$("start").hidden;
  if (!$("overview").hidden) renderOverview(choose);
  if (session) drawSession(session);
  wantChannels();
  if (session && session.cursor && session.cursor.playing) schedule();
}

function drawSession(session) {
  followCursor(session);
  const state = stateOf(session), live = !session.cursor || session.cursor.live;
  renderHead(session, state, live);
  renderNeeds(session, describeRequest);
  timeline.update(session.shown, { live, cursorAt: live ? null : session.cursor.at, now: until(session) });
  renderTabs(session, state);
  $("panels").dataset.view = view.name;
  search.syncField(view.query);
  drawView(session, state, live);
}

function drawView(session, state, live) {
  const ctx = contextOf(session, state);
  let root = $("panel-" + view.name), number = 0;
  if (view.name === "conversation") {
    conversation.renderConversation(session, state, ctx);
    number = search.found(conversation.visibleRows(state), state, view.query).length;
    root = $("talk");
  }
  if (view.name === "todos" || view.name === "conversation") renderTodos(state);
  if (view.name === "changes") drawChanges(session, state, ctx);
  if (view.name === "screen") renderScreen(session, !live);
  if (view.name === "events") number = events.renderEvents(session, range);
  search.markHits(root, view.query, number);
}

/** The Changes view is made anew only when something it shows has changed. */
function drawChanges(session, state, ctx) {
  const key = [session.id, state.calls.size, state.seq, file].join(" ");
  if ($("panel-changes").dataset.key === key) return;
  $("panel-changes").dataset.key = key;
  $("panel-changes").replaceChildren(renderChanges(state, { ...ctx, file }));
}

/** What a permission is asked for, shown as the call itself will be. */
function describeRequest(waiting) {
  if (!waiting.tool || !waiting.input || typeof waiting.input !== "object") return null;
  const about = describe({ id: "", tool: waiting.tool, input: waiting.input, ok: null, endAt: null, summary: "", at: waiting.since }, { now: waiting.since });
  return about.parts.length ? el("div", { class: "call-body", tabindex: "0" }, about.parts.map(renderPart)) : null;
}

const contextOf = (session, state) => ({
  workingDir: str(state.info.working_dir), now: isLive(session) ? Date.now() : state.at, over: !isLive(session), opened, onAgent: openThread,
  onRaw: (seq) => {
    open({ name: "events" });
    events.showSeq(session, seq);
  },
  onFile: (path) => {
    file = path;
    open({ name: "changes" });
  },
});

function followCursor(session) {
  if (!session.cursor && view.at !== null) session.cursor = new Cursor(session.log);
  const cursor = session.cursor;
  if (cursor && cursor.at !== view.at && session.log.length) cursor.seek(view.at);
}

function renderTabs(session, state) {
  const stats = state.todos && state.todos.stats, counts = new Map([["todos", stats && stats.total ? stats.completed + "/" + stats.total : ""]]);
  for (const name of VIEWS) {
    const tab = $("tab-" + name);
    attr(tab, "aria-selected", view.name === name);
    attr(tab, "tabindex", view.name === name ? 0 : -1);
    text(tab.lastChild, counts.get(name) || "");
    $("panel-" + name).hidden = view.name !== name;
  }
}

/** Nothing to show yet: say what is the matter and what to do. */
function renderStart(session) {
  const port = /^port (\d+)$/.exec(view.session || ""), link = port ? store.links.get(Number(port[1])) : store.home;
  const refused = link && link.state === "refused", unknown = view.session && !port && store.home && ["live", "over"].includes(store.home.state);
  const show = !session && (Boolean(view.session) || refused || store.sessions.size === 0);
  $("start").hidden = !show;
  if (!show) return;
  $("start-form").hidden = !refused;
  const words = refused ? ["This page was refused", link.why, link.hint]
    : unknown ? ["This session is not here any more", "It ended, or it runs on another machine. Its link only works while a claude-mpm page that saw it is open.", ""]
    : link && link.state === "lost" ? ["No answer from " + location.host, "The session that served this page is over, or has not started yet.", "Next try in " + Math.max(0, Math.ceil((link.retryAt - Date.now()) / 1000)) + " s."]
    : ["Connecting to " + location.host, "One moment.", ""];
  ["start-title", "start-text", "start-state"].forEach((id, i) => text($(id), words[i]));
}

/** Terminal bytes and pictures are asked for only while somebody looks at them. */
function wantChannels() {
  for (const session of store.sessions.values()) {
    if (session.link.session !== session) continue;
    const looked = session.id === view.session && !document.hidden;
    session.link.want({ screen: looked && view.name === "screen", output: looked && view.name === "events" && events.wantsOutput() });
  }
}

// --- what the reader does -------------------------------------------------------------------------------------
function nextSession(step, list) {
  const ids = list.map((session) => session.id);
  if (ids.length) choose(ids[(ids.indexOf(view.session) + step + ids.length) % ids.length]);
}

function jumpPrompt(direction) {
  const session = selected(), seq = session && conversation.promptFrom(direction);
  if (seq === null || !session) return direction > 0 ? newest() : undefined;
  conversation.showRow(stateOf(session), seq);
  redraw();
}

function newest() {
  conversation.toNewest();
  events.newestEvent();
  const session = selected();
  if (session && session.cursor) session.cursor.seek(null);
  open({ at: null }, { replace: true });
}

function move(act) {
  const session = selected();
  if (!session) return;
  session.cursor = session.cursor || new Cursor(session.log);
  act(session.cursor);
  open({ at: session.cursor.at }, { replace: true });
}

function back() {
  if (events.closeEvent()) return;
  const session = selected();
  if (view.query) return open({ query: "" }, { replace: true });
  if (view.agent) return open({ agent: null });
  if (session && session.cursor && !session.cursor.live) newest();
}

function setTheme(theme) {
  setPref("theme", theme);
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  redraw();
}
const nextTheme = () => setTheme(new Map([["auto", "light"], ["light", "dark"], ["dark", "auto"]]).get(prefs.theme) || "auto");

const KEYS = new Map([
  ["n", () => nextSession(1, needy())], ["j", () => nextSession(1, ordered())], ["k", () => nextSession(-1, ordered())],
  ...VIEWS.map((name, i) => [String(i + 1), () => open({ name })]),
  ["[", () => jumpPrompt(-1)], ["]", () => jumpPrompt(1)], ["g", newest], ["G", newest], ["p", () => events.togglePause()],
  [" ", () => move((cursor) => cursor.toggle())], ["ArrowLeft", () => move((cursor) => cursor.step(-1))], ["ArrowRight", () => move((cursor) => cursor.step(1))],
  ["a", () => open({ name: "conversation", agent: view.agent === "all" ? null : "all" })], ["o", () => choose(null)],
  ["t", nextTheme], ["/", () => $("search").focus()],
]);

function onTabKey(event) {
  const step = new Map([["ArrowRight", 1], ["ArrowLeft", -1]]).get(event.key);
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const name = VIEWS[(VIEWS.indexOf(view.name) + step + VIEWS.length) % VIEWS.length];
  open({ name });
  $("tab-" + name).focus();
}

function onSearch(event) {
  if (event.key !== "Enter") return;
  event.preventDefault();
  const session = selected();
  if (!session || view.name !== "conversation") return;
  const state = stateOf(session), row = search.step(search.found(conversation.visibleRows(state), state, view.query), event.shiftKey ? -1 : 1);
  if (row) conversation.showRow(state, row.seq);
  redraw();
}

function onStart(event) {
  event.preventDefault();
  const port = /^port (\d+)$/.exec(view.session || ""), link = port ? store.links.get(Number(port[1])) : store.home, typed = $("start-input").value.trim();
  $("start-input").value = "";
  if (typed) setToken(link === store.home ? null : link.port, typed);
  link.retry();
}

function wire() {
  timeline = new Timeline($("timeline"), { onSeek: (ms) => move((cursor) => cursor.seek(ms)), onRange: (chosenRange) => ((range = chosenRange), redraw()), onAgent: openThread });
  $("tabs").replaceChildren(...VIEWS.map((name) => el("button", { role: "tab", type: "button", id: "tab-" + name, "aria-controls": "panel-" + name, on: { click: () => open({ name }) } }, TITLES.get(name) + " ", el("span", { class: "count" }))));
  $("tabs").addEventListener("keydown", onTabKey);
  conversation.wireConversation(redraw);
  events.wireEvents(redraw);
  $("search").addEventListener("input", () => {
    search.restart();
    open({ query: $("search").value }, { replace: true });
  });
  $("search").addEventListener("keydown", onSearch);
  $("start-form").addEventListener("submit", onStart);
  $("needy").addEventListener("click", () => nextSession(1, needy()));
  $("notify").addEventListener("click", async () => {
    await Notification.requestPermission();
    redraw();
  });
  $("sound").addEventListener("click", () => {
    setPref("sound", !prefs.sound);
    if (prefs.sound) chime();
    redraw();
  });
  $("theme").addEventListener("click", nextTheme);
  $("other").addEventListener("click", (event) => {
    if (event.target.dataset.go) choose(event.target.dataset.go);
    if (event.target.dataset.look) lookAgain();
  });
  listenForKeys(KEYS, { palette: () => {}, back, blocked: () => Boolean(document.querySelector("dialog[open]")) });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return wantChannels();
    heartbeat();
    changed();
  });
  addEventListener("hashchange", onAddress);
  addEventListener("popstate", onAddress);
  addEventListener("resize", redraw);
  addEventListener("beforeunload", (event) => {
    // What this tab holds cannot be loaded again once its server is gone.
    if (store.home && store.home.state === "over" && [...store.sessions.values()].some((session) => session.over)) event.preventDefault();
  });
}

/** The reader asked for it: connect to whatever listens on the port that served this page. */
function lookAgain() {
  const port = store.home.port;
  store.home = connect(port, true);
  redraw();
}

function onAddress() {
  takeToken();
  if (!read()) return;
  chosen = true;
  const session = selected();
  if (session && session.cursor) session.cursor.seek(view.at);
  attend(choose);
  redraw();
}

/** A token in the address moves into the tab's memory, and out of the address. */
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  setToken(null, token);
  history.replaceState(null, "", location.pathname + location.search);
}

function start() {
  listen({
    drawn: schedule,
    changed: () => {
      attend(choose);
      soon = soon || setTimeout(() => ((soon = 0), schedule()), 80);
    },
  });
  takeToken();
  chosen = read();
  setTheme(prefs.theme);
  wire();
  store.home = connect(Number(location.port) || (location.protocol === "https:" ? 443 : 80), true);
  setInterval(schedule, 1000); // durations and countdowns
  startHeartbeat();
}
start();
