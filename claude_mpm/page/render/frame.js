// One frame: whatever is looked at, drawn from the store.

import { el, text, attr } from "./dom.js";
import { str } from "../plain.js";
import { Cursor } from "../time.js";
import { store, view, stateOf, isLive, until } from "../store.js";
import { VIEWS, go } from "../route.js";
import { choose, move, open, openThread, newest, selected, ui } from "../actions.js";
import { describe } from "../tools/tools.js";
import { keepListed } from "../sources/past.js";
import { followPast } from "../sources/reading.js";
import { resumePast } from "../sources/resume.js";
import { renderRail } from "./rail.js";
import { renderBar, renderHead } from "./header.js";
import { renderNeeds } from "./needs.js";
import { renderEarlier, whyUnread } from "./earlier.js";
import { renderPrompt } from "./prompt.js";
import { renderOverview } from "./overview.js";
import { renderTodos } from "./todos.js";
import { renderScreen } from "./screen.js";
import { renderChanges } from "./changes.js";
import { renderNumbers } from "./numbers.js";
import { renderPart } from "./parts.js";
import { Timeline } from "./timeline.js";
import { Transport } from "./transport.js";
import * as conversation from "./conversation.js";
import * as events from "./events.js";
import * as search from "./search.js";

const $ = (id) => document.getElementById(id);
const TITLES = new Map([
  ["conversation", "Conversation"],
  ["changes", "Changes"],
  ["screen", "Screen"],
  ["events", "Events"],
  ["numbers", "Numbers"],
  ["todos", "Todos"],
]);
let due = false,
  timeline = null,
  transport = null;

/** Draw in the next animation frame. A hidden tab draws nothing. */
export function schedule() {
  if (due || document.hidden) return;
  due = true;
  requestAnimationFrame((now) => {
    due = false;
    draw(now);
  });
}

/** Make what every frame fills: the tabs, the timeline and the views' parts. */
export function build() {
  const tab = (name) =>
    el(
      "button",
      {
        role: "tab",
        type: "button",
        id: "tab-" + name,
        "aria-controls": "panel-" + name,
        on: { click: () => open({ name }) },
      },
      TITLES.get(name) + " ",
      el("span", { class: "count" }),
    );
  $("tabs").replaceChildren(...VIEWS.map(tab));
  conversation.wireConversation(schedule);
  events.wireEvents(schedule);
  const onRange = (range) => {
    ui.range = range;
    schedule();
  };
  timeline = new Timeline($("timeline"), {
    onSeek: (ms) => move((cursor) => cursor.seek(ms)),
    onRange,
    onAgent: openThread,
  });
  transport = new Transport(timeline.controls, {
    step: (direction) => move((cursor) => cursor.step(direction)),
    stepPrompt: (direction) => move((cursor) => cursor.stepPrompt(direction)),
    toggle: () => move((cursor) => cursor.toggle()),
    speed: (speed) => move((cursor) => (cursor.speed = speed)),
    live: newest,
  });
}

function draw(now) {
  const home = store.home && store.home.session;
  const isSession = home && home.shown.info.kind !== "overview"; // a hub has none
  // An address that names no view shows the session of the server.
  if (!ui.chosen && !view.session && isSession) go({ session: home.id }, { replace: true });
  keepListed();
  resumePast();
  followPast();
  const session = selected(),
    cursor = session && session.cursor;
  if (cursor && cursor.playing && cursor.tick(now)) go({ at: cursor.at }, { replace: true });
  renderBar(session);
  renderRail(choose);
  const unread = session && whyUnread(session);
  renderStart(session, unread);
  renderEarlier(choose);
  $("one").hidden = !session || Boolean(unread);
  $("overview").hidden = Boolean(session || view.session || !$("start").hidden);
  if (!$("overview").hidden) renderOverview(choose);
  if (session && !unread) drawSession(session);
  wantChannels();
  if (cursor && cursor.playing) schedule();
}

function drawSession(session) {
  if (!session.cursor) session.cursor = new Cursor(session.log);
  const cursor = session.cursor;
  if (cursor.at !== view.at && session.log.length) cursor.seek(view.at);
  const state = stateOf(session),
    live = cursor.live;
  renderHead(session, state, live);
  renderNeeds(session, describeRequest);
  timeline.update(session.shown, { live, cursorAt: cursor.at, now: until(session) });
  transport.update(cursor, Boolean(session.over || session.shown.ended));
  renderTabs(state);
  $("panels").dataset.view = view.name;
  search.syncField(view.query);
  renderPrompt(session, live);
  drawView(session, state, live);
}

function drawView(session, state, live) {
  const ctx = contextOf(session, state),
    panel = $("panel-" + view.name);
  let root = panel,
    number = null;
  if (view.name === "conversation") {
    conversation.renderConversation(session, state, ctx);
    number = view.query ? search.found(conversation.visibleRows(state), state, view.query).length : 0;
    root = $("talk");
  }
  if (view.name === "todos" || view.name === "conversation") renderTodos(state);
  if (view.name === "changes")
    remade(panel, [session.id, state.calls.size, state.seq, ui.file, ctx.over], () =>
      renderChanges(state, { ...ctx, file: ui.file }),
    );
  if (view.name === "numbers")
    remade(panel, [session.id, state.seq, Math.floor(ctx.now / 5000)], () => renderNumbers(state, ctx.now));
  if (view.name === "screen") renderScreen(session, !live);
  if (view.name === "events") number = events.renderEvents(session, ui.range);
  search.markHits(root, view.query, number);
}

const made = new Map(); // panel → what it was made from
/** Fill a panel again only when something that it shows has changed. */
function remade(panel, inputs, make) {
  const key = inputs.join(" ");
  if (made.get(panel) === key) return;
  made.set(panel, key);
  const top = panel.scrollTop;
  panel.replaceChildren(make());
  panel.scrollTop = top;
}

/** What a permission is asked for, shown as the call itself will be. */
function describeRequest(waiting) {
  if (!waiting.tool || !waiting.input || typeof waiting.input !== "object") return null;
  const call = {
    id: "",
    tool: waiting.tool,
    input: waiting.input,
    ok: null,
    endAt: null,
    summary: "",
    at: waiting.since,
  };
  const { parts } = describe(call, { now: waiting.since });
  return parts.length
    ? el(
        "div",
        { class: "request", tabindex: "0", role: "group", "aria-label": "What it asks for" },
        parts.map(renderPart),
      )
    : null;
}

const contextOf = (session, state) => ({
  workingDir: str(state.info.working_dir),
  now: isLive(session) && session.cursor.live ? Date.now() : state.at,
  over: !isLive(session),
  opened: ui.opened,
  onAgent: openThread,
  onRaw: (seq) => {
    open({ name: "events" });
    events.showSeq(session, seq);
  },
  onFile: (path) => {
    ui.file = path;
    open({ name: "changes" });
  },
});

function renderTabs(state) {
  const stats = state.todos && state.todos.stats,
    counts = new Map([["todos", stats && stats.total ? stats.completed + "/" + stats.total : ""]]);
  for (const name of VIEWS) {
    const tab = $("tab-" + name);
    attr(tab, "aria-selected", view.name === name);
    attr(tab, "tabindex", view.name === name ? 0 : -1);
    text(tab.lastChild, counts.get(name) || "");
    $("panel-" + name).hidden = view.name !== name;
  }
}

/** The source that the page waits for while there is no session to show. */
export function awaited() {
  const port = /^port (\d+)$/.exec(view.session || "");
  return port ? store.links.get(Number(port[1])) : store.home;
}

/** Nothing to show yet: say what is the matter and what to do. */
function renderStart(session, unread) {
  const link = awaited(),
    refused = link && link.state === "refused";
  const empty = !session && (Boolean(view.session) || refused || (store.sessions.size === 0 && !isListed()));
  const show = empty || Boolean(unread);
  $("start").hidden = !show;
  if (!show) return;
  $("start-form").hidden = !refused || Boolean(unread);
  const words = unread || startWords(link, refused);
  ["start-title", "start-text", "start-state"].forEach((id, i) => text($(id), words[i]));
}

/** Whether a hub has said which sessions there are: none at all is an answer, too. */
const isListed = () => Boolean(store.home && store.home.hub && store.home.hub.listed);

function startWords(link, refused) {
  if (refused) return ["This page was refused", link.why, link.hint];
  if (view.session && store.home && ["live", "over"].includes(store.home.state))
    return [
      "This session is not here any more",
      store.home.hub
        ? "It has ended, or the hub does not reach its machine. All sessions that the hub knows are in the overview."
        : "It has ended, or it runs on another machine. All sessions that run here are on the left.",
      "",
    ];
  if (link && link.state === "lost")
    return [
      "No answer from " + location.host,
      link.hub
        ? "The hub has ended, or it is being restarted."
        : "The session that served this page is over, or has not started yet.",
      "Next try in " + Math.max(0, Math.ceil((link.retryAt - Date.now()) / 1000)) + " s.",
    ];
  return ["Connecting to " + location.host, "One moment.", ""];
}

/** Ask for terminal output and pictures only while somebody looks at them. */
export function wantChannels() {
  for (const session of store.sessions.values()) {
    if (session.link.session !== session) continue;
    const looked = session.id === view.session && !document.hidden;
    session.link.want({
      looked,
      screen: looked && view.name === "screen",
      output: looked && view.name === "events" && events.wantsOutput(),
    });
  }
}
