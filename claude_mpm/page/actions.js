// What the reader does. Each action changes what is looked at, keeps the address in step, and asks for a redraw.

import { ago } from "./plain.js";
import { Cursor } from "./time.js";
import { store, view, prefs, setPref, redraw, needy, ordered, stateOf, mood } from "./store.js";
import { labelOf } from "./names.js";
import { connect } from "./sources/links.js";
import { past } from "./sources/past.js";
import { PAST, VIEWS, go } from "./route.js";
import { attend } from "./attention.js";
import * as conversation from "./render/conversation.js";
import * as events from "./render/events.js";

/**
 * What is looked at, beyond the address. `chosen`: by the reader or the address, not by default; `range`: [from, to] in
 * ms selected on the timeline; `file`: the path that the Changes view shows open; `opened`: rows that were opened or
 * closed by hand.
 */
export const ui = { chosen: false, range: null, file: null, opened: new Map() };

/** The session that is looked at, or null. */
export const selected = () => store.sessions.get(view.session) || null;

/** Change the view; see go(). */
export function open(changes, how) {
  ui.chosen = true;
  go(changes, how);
  redraw();
}

/** Look at a session by its id, at "port N" for one that could not be reached, or at the overview with null. */
export function choose(id) {
  if (id !== view.session) Object.assign(ui, { range: null, file: null });
  open({ session: id });
  attend(choose);
}

/** Open an agent's thread, "all" of them, or with null the main one. The open one is closed. */
export const openThread = (key) => open({ name: "conversation", agent: key === view.agent ? null : key });

/** The next (1) or previous (-1) session of a list. */
export function nextSession(step, sessions) {
  const ids = sessions.map((session) => session.id),
    at = ids.indexOf(view.session);
  if (ids.length) choose(ids[at < 0 && step < 0 ? ids.length - 1 : (at + step + ids.length) % ids.length]);
}

/** To the next (1) or previous (-1) prompt of the conversation. */
export function jumpPrompt(direction) {
  const session = selected(),
    seq = session ? conversation.promptFrom(direction) : null;
  if (seq === null) return direction > 0 ? newest() : undefined;
  conversation.showRow(stateOf(session), seq);
  redraw();
}

/** To the newest row and event, and to now. */
export function newest() {
  conversation.toNewest();
  events.newestEvent();
  const session = selected();
  if (session && session.cursor) session.cursor.seek(null);
  open({ at: null }, { replace: true });
}

/** Move the cursor through the session's time. */
export function move(act) {
  const session = selected();
  if (!session) return;
  session.cursor = session.cursor || new Cursor(session.log);
  act(session.cursor);
  open({ at: session.cursor.at }, { replace: true });
}

/** Close what was opened last: an event, a search, an agent's thread, a moment of the past. */
export function back() {
  const session = selected();
  if (events.closeEvent()) return;
  if (view.query) return open({ query: "" }, { replace: true });
  if (view.agent) return open({ agent: null });
  if (session && session.cursor && !session.cursor.live) newest();
}

/** "auto" (as the system is set), "light" or "dark". */
export function setTheme(theme) {
  setPref("theme", theme);
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  redraw();
}

export const nextTheme = () =>
  setTheme(
    new Map([
      ["auto", "light"],
      ["light", "dark"],
    ]).get(prefs.theme) || "auto",
  );

/** Connect again to whatever listens on the port that served this page. */
export function lookAgain() {
  store.home = connect(store.home.port, true);
  redraw();
}

/** What the palette offers: sessions, views, commands, and the earlier sessions that are listed. */
export function paletteItems(commands) {
  const sessions = ordered().map((session) => ({
    label: labelOf(session),
    hint: mood(session)[2] + " · :" + session.port,
    run: () => choose(session.id),
  }));
  const views = selected()
    ? VIEWS.map((name, i) => ({
        label: name[0].toUpperCase() + name.slice(1),
        hint: "view · " + (i + 1),
        run: () => open({ name }),
      }))
    : [];
  const earlier = past.rows.map((row) => ({
    label: row.title || "Untitled session",
    hint: "earlier" + (row.endedAt ? " · " + ago(Date.now() - row.endedAt) : ""),
    run: () => choose(PAST + row.sessionId),
  }));
  const next = needy().length
    ? [{ label: "Next session that needs you", hint: "n", run: () => nextSession(1, needy()) }]
    : [];
  return [
    ...next,
    ...sessions,
    ...views,
    { label: "Overview of all sessions", hint: "o", run: () => choose(null) },
    ...commands,
    ...earlier,
  ];
}
