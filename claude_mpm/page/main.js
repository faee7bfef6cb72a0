// The page's start: take the address, connect, listen to the reader.

import { store, view, prefs, setPref, listen, redraw, changed, ordered, needy, stateOf } from "./store.js";
import { connect, startHeartbeat, heartbeat } from "./sources/links.js";
import { setToken } from "./sources/refusal.js";
import { isExported, openExported } from "./sources/exported.js";
import { VIEWS, read } from "./route.js";
import { listenForKeys } from "./keys.js";
import { attend, chime } from "./attention.js";
import {
  back,
  choose,
  jumpPrompt,
  lookAgain,
  move,
  newest,
  nextSession,
  nextTheme,
  open,
  openThread,
  paletteItems,
  selected,
  setTheme,
  ui,
} from "./actions.js";
import { awaited, build, schedule, wantChannels } from "./render/frame.js";
import { openPalette } from "./render/palette.js";
import { TIME_KEYS, openHelp } from "./render/help.js";
import { showRow, visibleRows } from "./render/conversation.js";
import { togglePause } from "./render/events.js";
import * as search from "./render/search.js";

const $ = (id) => document.getElementById(id);
const FEW = 50; // sessions over which it may be worked out with every event who needs the reader
const PACE = 100; // ms
const SOON = 80; // ms; what arrives in bursts is drawn a dozen times a second

const KEYS = new Map([
  ["n", () => nextSession(1, needy())],
  ["j", () => nextSession(1, ordered())],
  ["k", () => nextSession(-1, ordered())],
  ["o", () => choose(null)],
  ...VIEWS.map((name, i) => [String(i + 1), () => open({ name })]),
  ["[", () => jumpPrompt(-1)],
  ["]", () => jumpPrompt(1)],
  ["a", () => openThread("all")],
  ["g", newest],
  ["G", newest],
  ["p", togglePause],
  [" ", () => move((cursor) => cursor.toggle())],
  ["ArrowLeft", () => move((cursor) => cursor.step(-1))],
  ["ArrowRight", () => move((cursor) => cursor.step(1))],
  ["t", nextTheme],
  ["/", () => $("search").focus()],
  ["?", help],
]);

function help() {
  const keys = (title, ...rows) => ({ title, keys: rows.map(([names, what]) => ({ keys: names, what })) });
  openHelp(
    [
      keys(
        "Sessions",
        [["n"], "next session that needs you"],
        [["j", "k"], "next, previous session"],
        [["o"], "all sessions"],
      ),
      keys(
        "Views",
        [["1", "…", String(VIEWS.length)], VIEWS.join(", ")],
        [["[", "]"], "previous, next prompt"],
        [["a"], "all threads, or the main one"],
        [["g"], "newest"],
        [["/"], "search this view"],
        [["p"], "pause the events"],
        [["Esc"], "back out"],
      ),
      TIME_KEYS,
      keys("Page", [["⌘K", "Ctrl-K"], "sessions, views and commands"], [["t"], "light, dark, or as the system is set"]),
    ],
    [
      "● working, ◆ needs you, ○ idle, ■ ended, ✕ failed or lost, ◌ not connected.",
      store.home.hub
        ? "These are the sessions that the hub reaches, on all its machines."
        : "This page only listens: answer in the terminal that Claude runs in. Nothing leaves this machine.",
    ],
  );
}

const toggleKeys = () => setPref("keys", !prefs.keys);
const palette = () =>
  openPalette(
    paletteItems([
      { label: "Newest, live", hint: "g", run: newest },
      { label: "Colours: light, dark, system", hint: "t", run: nextTheme },
      { label: prefs.sound ? "Sound off" : "Sound on", hint: "", run: toggleSound },
      { label: prefs.keys ? "Single-key shortcuts off" : "Single-key shortcuts on", hint: "", run: toggleKeys },
      { label: "Keyboard and help", hint: "?", run: help },
    ]),
  );

function toggleSound() {
  setPref("sound", !prefs.sound);
  if (prefs.sound) chime();
  redraw();
}

function onTabKey(event) {
  const step = new Map([
    ["ArrowRight", 1],
    ["ArrowLeft", -1],
  ]).get(event.key);
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const name = VIEWS[(VIEWS.indexOf(view.name) + step + VIEWS.length) % VIEWS.length];
  open({ name });
  $("tab-" + name).focus();
}

/** Enter walks the hits of the conversation, Shift-Enter backwards. */
function onSearchKey(event) {
  const session = selected();
  if (event.key !== "Enter" || !session || view.name !== "conversation") return;
  event.preventDefault();
  const state = stateOf(session),
    row = search.step(search.found(visibleRows(state), state, view.query), event.shiftKey ? -1 : 1);
  if (row) showRow(state, row.seq);
  redraw();
}

function onStart(event) {
  event.preventDefault();
  const link = awaited(),
    typed = $("start-input").value.trim();
  $("start-input").value = "";
  if (typed) setToken(link === store.home ? null : link.port, typed);
  link.retry();
}

function onSearch() {
  search.restart();
  open({ query: $("search").value }, { replace: true });
}

async function onNotify() {
  await Notification.requestPermission();
  redraw();
}

function onSuccessor({ target }) {
  if (target.dataset.go) choose(target.dataset.go);
  if (target.dataset.look) lookAgain();
}

function onAddress() {
  takeToken();
  if (!read()) return;
  ui.chosen = true;
  attend(choose);
  redraw();
}

function onVisibility() {
  if (document.hidden) return wantChannels();
  heartbeat();
  changed();
}

/** What this tab saw of a running session cannot be loaded again once its server is gone. */
function onLeave(event) {
  const unsaved = (session) => session.over && !session.past && !session.shown.info.kind;
  if (!isExported() && store.home.state === "over" && [...store.sessions.values()].some(unsaved))
    event.preventDefault();
}

/** Move a token from the address into the tab's memory. */
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  setToken(null, token);
  history.replaceState(null, "", location.pathname + location.search);
}

function wire() {
  const on = (id, event, listener) => $(id).addEventListener(event, listener);
  on("tabs", "keydown", onTabKey);
  on("search", "input", onSearch);
  on("search", "keydown", onSearchKey);
  on("start-form", "submit", onStart);
  on("needy", "click", () => nextSession(1, needy()));
  on("notify", "click", onNotify);
  on("sound", "click", toggleSound);
  on("theme", "click", nextTheme);
  on("help-button", "click", help);
  on("other", "click", onSuccessor);
  listenForKeys(KEYS, { palette, back, blocked: () => Boolean(document.querySelector("dialog[open]")) });
  document.addEventListener("visibilitychange", onVisibility);
  addEventListener("hashchange", onAddress);
  addEventListener("popstate", onAddress);
  addEventListener("resize", redraw);
  addEventListener("beforeunload", onLeave);
}

let called = -Infinity,
  calling = 0;
/** Work out who needs the reader: at once where sessions are few, else ten times a second at most. */
function callSoon() {
  const rest = store.sessions.size > FEW ? called + PACE - performance.now() : 0;
  if (rest > 0) calling = calling || setTimeout(callSoon, rest);
  else {
    clearTimeout(calling); // timers of a hidden tab may be late by a minute; then the next event comes first
    [called, calling] = [performance.now(), 0];
    attend(choose);
  }
}

function start() {
  let soon = 0;
  const later = () => {
    soon = 0;
    schedule();
  };
  const onStirred = () => {
    soon = soon || setTimeout(later, SOON);
  };
  const onChanged = () => {
    callSoon();
    onStirred();
  };
  listen({ drawn: schedule, changed: onChanged, stirred: onStirred });
  build();
  takeToken();
  ui.chosen = read();
  setTheme(prefs.theme);
  wire();
  if (isExported()) {
    store.home = openExported();
    return;
  }
  store.home = connect(Number(location.port) || (location.protocol === "https:" ? 443 : 80), true);
  setInterval(schedule, 1000); // durations and countdowns
  startHeartbeat();
}
start();
