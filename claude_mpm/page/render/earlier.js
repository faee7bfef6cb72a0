// "Earlier": the sessions that are over, newest first, with a search. It is one list, which stands under the running
// sessions in the rail while a session is open, and below the table while the overview is.

import { el, text, attr } from "./dom.js";
import { ago, base, clock, plural, span } from "../plain.js";
import { store, view, isLive, lastAt } from "../store.js";
import { past, forgetRefusal, readMore, searchPast } from "../sources/past.js";
import { setToken } from "../sources/refusal.js";
import { PAST } from "../route.js";

const FRESH = 10 * 60000; // ms; what was written to since may be running where nobody watches it
const SAID_BY = new Map([
  ["user", "You"],
  ["assistant", "Claude"],
  ["tool", "Tool"],
]);
const host = document.getElementById("past");
const field = el("input", {
  id: "past-search", type: "search", placeholder: "Search prompts, answers and tool inputs",
  autocomplete: "off", spellcheck: "false", "aria-label": "Search earlier sessions",
  on: { input: (event) => searchPast(event.target.value) },
});
const rows = el("ul", { id: "past-list" }),
  note = el("p", { id: "past-note", role: "status" }),
  more = el(
    "button",
    { id: "past-more", class: "plain", type: "button", text: "Show more", on: { click: readMore } },
  );
const token = el("input", { id: "past-token", type: "password", autocomplete: "off", spellcheck: "false" });
const form = el(
  "form",
  { id: "past-form", hidden: true, on: { submit: onToken } },
  el("label", { for: "past-token", text: "Token" }), token,
  el("button", { class: "plain", text: "Use it" }),
);
host.append(el("h2", { text: "Earlier" }), field, rows, note, form, more);
let drawn = "";

/** The connection is made anew, because a server judges a client once, when it connects. */
function onToken(event) {
  event.preventDefault();
  const typed = token.value.trim();
  token.value = "";
  if (!typed || !store.home) return;
  setToken(null, typed);
  forgetRefusal();
  if (store.home.ws) store.home.ws.close();
}

/** Whether there is anything to say of the past. */
export const hasEarlier = () =>
  past.rows.length > 0 || past.text !== "" || past.state === "forbidden" || past.state === "failed";

/** Draw the list where it belongs. `choose(id)` opens a session. */
export function renderEarlier(choose) {
  const place = document.getElementById(view.session ? "rail" : "overview");
  if (host.parentElement !== place) place.append(host);
  host.hidden = !hasEarlier();
  if (host.hidden) return;
  const here = present();
  // Sessions that run here, or ended while this page looked on, are on the rail already. A search finds all.
  const shown = past.rows.filter((row) => past.text || !here.has(row.sessionId));
  if (document.activeElement !== field && field.value !== past.text) field.value = past.text;
  field.hidden = past.state === "forbidden";
  form.hidden = past.state !== "forbidden";
  more.hidden = !past.more || past.state === "loading";
  text(note, words(shown));
  note.hidden = !note.textContent;
  const content = shown.map((row) => cells(row, here)),
    key = JSON.stringify([content, view.session]);
  if (key === drawn) return;
  drawn = key;
  const focused = rows.contains(document.activeElement) ? document.activeElement.dataset.session : null;
  rows.replaceChildren(...content.map((row) => item(row, choose)));
  if (focused) rows.querySelector('[data-session="' + CSS.escape(focused) + '"]')?.focus({ preventScroll: true });
}

/** The sessions that are not of the past, by the id that Claude gave them, and the instances' own ids. */
function present() {
  const sessions = [...store.sessions.values()].filter((session) => !session.past);
  return new Map([
    ...sessions.map((session) => [session.shown.sessionId, session]),
    ...sessions.map((session) => [session.id, session]),
  ]);
}

function words(shown) {
  if (past.state === "forbidden")
    return "Earlier sessions can only be read with the token that claude-mpm was started with.";
  if (past.state === "failed") return "Earlier sessions could not be read: " + past.why + ".";
  if (past.state === "loading") return past.text ? "Searching…" : shown.length ? "" : "Reading…";
  if (shown.length) return "";
  return past.text ? "No session contains this text." : "";
}

function cells(row, here) {
  const session = here.get(row.instanceId) || here.get(row.sessionId),
    live = session && isLive(session) ? session : null, // it runs as this one
    length = row.startedAt && row.endedAt ? span(row.endedAt - row.startedAt) : "";
  return {
    id: live ? live.id : PAST + row.sessionId,
    title: row.title || "Untitled session",
    place: [base(row.workingDir), row.branch && "⎇ " + row.branch].filter(Boolean).join(" "),
    path: row.workingDir,
    when: live ? "● running" : row.endedAt ? ago(Date.now() - row.endedAt) : "",
    length,
    match: row.match ? (SAID_BY.get(row.match.role) || "") + ": " + row.match.line : "",
  };
}

function item({ id, title, place, path, when, length, match }, choose) {
  const button = el(
    "button",
    { class: "earlier", type: "button", title: path, data: { session: id }, on: { click: () => choose(id) } },
    el("b", { class: "data cut", text: title }),
    el("span", { class: "when num", text: when }),
    el("span", { class: "place data cut", text: place }),
    el("span", { class: "length num", text: length }),
    match ? el("span", { class: "match data", text: match }) : null,
  );
  attr(button, "aria-current", view.session === id ? "true" : null);
  return el("li", {}, button);
}

/** What stands instead of a session of the past that cannot be read: [title, text, state]; null if it can be. */
export function whyUnread(session) {
  if (!session.past || session.log.length) return null;
  const { problem, why, done } = session.link;
  if (problem && problem.code === "forbidden")
    return [
      "This session may not be read from here",
      "Earlier sessions can only be read with the token that claude-mpm was started with (--websocket-token).",
      "Open the link it printed, or enter the token under Earlier.",
    ];
  if (problem) return ["This session cannot be read", "The server says: " + problem.message + ".", ""];
  if (done) return ["This session is empty", "Claude's record of it holds nothing that this page can show.", ""];
  return ["Reading an earlier session", why || "One moment.", ""];
}

/** How a session of the past ended, and what its record lacks; for the note below the header. */
export function pastNote(session) {
  const { link, log, past: isPast } = session;
  if (isPast && !link.done)
    return "Reading… " + plural(log.length, "event") + " so far." + (link.why ? " " + link.why + "." : "");
  const at = lastAt(session),
    age = Date.now() - at,
    when = new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const said =
    isPast && age < FRESH
      ? "Last written " + ago(age) + "; it may still be going on."
      : "Ended " + ago(age) + ", " + when + ".";
  const begins = log.first ? " It is too long to hold: the timeline begins at " + clock(log.oldestAt) + "." : "";
  const record = isPast ? " Read from Claude's own record, without terminal output and permission dialogs." : "";
  return said + record + begins;
}
