// The session's terminal, cell by cell.

import { el, text, prop } from "./dom.js";
import { clock, dict, list, num, str } from "../plain.js";
import { isLive, prefs, setPref, redraw, view } from "../store.js";

const ANSI = [
  "#2b2f36",
  "#e0665f",
  "#8cc570",
  "#e0b457",
  "#6ea8e8",
  "#c58ae0",
  "#5fc3c9",
  "#c9ccd3",
  "#777d88",
  "#ff8a80",
  "#a9e08d",
  "#ffd479",
  "#93c4ff",
  "#dfaaff",
  "#82e3e8",
  "#ffffff",
];
const ODD = /[^\x20-\x7e\u00a0-\u024f\u2500-\u259f]/u; // may come from another font, with a width of its own
const UNSEEN = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\u{e0000}-\u{e007f}]/gu;
const NARROWEST = 9,
  WIDEST = 15; // px of the font when it is fitted
const drawn = [];

const host = document.getElementById("panel-screen");
const title = el("span", { class: "data cut" }),
  size = el("span", { class: "num" }),
  age = el("span", { id: "term-age", class: "num" });
const button = (label, words, run) =>
  el("button", { class: "plain", type: "button", title: words, text: label, on: { click: run } });
const resize = (by) => () => {
  setPref("size", by ? Math.min(28, Math.max(7, (prefs.size || currentSize()) + by)) : 0);
  redraw();
};
const grid = el("div", { id: "grid" }),
  cursor = el("div", { id: "cursor", hidden: true }),
  term = el("div", { id: "term" }, grid, cursor);
const head = el(
  "div",
  { id: "term-title" },
  title,
  size,
  age,
  el("span", { class: "grow" }),
  button("Smaller", "Smaller text", resize(-1)),
  button("Larger", "Larger text", resize(1)),
  button("Fit", "Fit the window", resize(0)),
);
const none = el("div", { id: "term-none", class: "empty", hidden: true });
host.replaceChildren(head, term, none);
const currentSize = () => Math.round(parseFloat(getComputedStyle(term).fontSize)) || 13;

function colour(value) {
  if (typeof value === "string") return /^#[0-9a-f]{6}$/i.test(value) ? value : "";
  if (!Number.isInteger(value) || value < 0 || value > 255) return "";
  if (value < 16) return ANSI[value];
  if (value > 231)
    return (
      "rgb(" +
      Array(3)
        .fill(8 + (value - 232) * 10)
        .join(",") +
      ")"
    );
  const level = (n) => (n ? 55 + n * 40 : 0),
    n = value - 16;
  return "rgb(" + [level(Math.floor(n / 36)), level(Math.floor(n / 6) % 6), level(n % 6)].join(",") + ")";
}

function drawRun(run) {
  const style = dict(run[1]),
    span = document.createElement("span");
  span.textContent = str(run[0]).replace(UNSEEN, " ");
  let fg = colour(style.fg),
    bg = colour(style.bg);
  if (style.r) [fg, bg] = [bg || "var(--term-bg)", fg || "var(--term-ink)"];
  if (fg) prop(span, "color", fg);
  if (bg) prop(span, "background-color", bg);
  if (style.b) prop(span, "font-weight", 700);
  if (style.i) prop(span, "font-style", "italic");
  if (style.d) prop(span, "opacity", 0.65);
  if (style.u || style.s)
    prop(span, "text-decoration", (style.u ? "underline " : "") + (style.s ? "line-through" : ""));
  if (style.w) {
    span.className = "cell";
    prop(span, "width", (style.w === 2 ? 2 : 1) + "ch");
  } else if (ODD.test(span.textContent)) span.replaceChildren(...Array.from(span.textContent, cell));
  return span;
}

function cell(char) {
  if (!ODD.test(char)) return char;
  const span = document.createElement("span");
  span.className = "cell one";
  span.textContent = char;
  return span;
}

/** Draw the newest picture of a terminal, or say why there is none. `past`: an earlier moment is looked at. */
export function renderScreen(session, past) {
  const film = session.link.film; // of an exported session: all its pictures
  const screen = film ? film.at(past && view.at ? view.at : Infinity) : session.screen;
  term.hidden = head.hidden = !screen;
  none.hidden = Boolean(screen);
  if (!screen) return sayNone(session);
  text(title, screen.title);
  text(size, screen.cols + " × " + screen.lines.length);
  const live = isLive(session) && !past;
  text(age, live ? "● live" : "as of " + clock(screen.at) + (past && !film ? "; the terminal's past is not kept" : ""));
  term.classList.toggle("past", !live);
  fit(screen);
  drawRows(screen);
  cursor.hidden = !screen.cursor.visible || !live;
  prop(cursor, "--col", num(screen.cursor.col) || 0);
  prop(cursor, "--line-no", num(screen.cursor.row) || 0);
}

function fit(screen) {
  const width = host.clientWidth - 64,
    height = host.clientHeight - 90;
  const fitted = Math.max(
    NARROWEST,
    Math.min(WIDEST, width / (screen.cols * 0.605), height > 100 ? height / (screen.lines.length * 1.25) : WIDEST),
  );
  if (width > 0) prop(term, "--size", (prefs.size || fitted).toFixed(2) + "px");
  prop(grid, "width", screen.cols + "ch");
}

function drawRows(screen) {
  while (grid.children.length > screen.lines.length) grid.lastChild.remove();
  screen.lines.forEach((runs, i) => {
    const row = grid.children[i] || grid.appendChild(el("div"));
    if (drawn[i] === runs && row.drawn) return;
    drawn[i] = runs;
    row.drawn = true;
    row.replaceChildren(...list(runs).filter(Array.isArray).map(drawRun));
  });
}

function sayNone(session) {
  text(none.firstChild || none.appendChild(el("span")), whyNone(session));
}

const INSTALL =
  "The screen needs another package where Claude runs: pip install 'claude-mpm[screen]'. Then start a new session.";
const ATTACHED = "The screen is seen only when Claude is started with claude-mpm --launch-method subprocess.";

function whyNone({ shown, over, noScreen, link }) {
  if (link.exported) return noScreen;
  const able = list(shown.info.capabilities).includes("screen");
  if (able && (over || shown.ended)) return "No picture of this terminal was taken before the session ended.";
  if (!noScreen) return "Waiting for the picture…";
  if (able && link.hub) return "There is no picture of this terminal: " + noScreen + ".";
  if (able) return "There is no picture of this terminal yet.";
  return shown.launchMethod === "exec" ? ATTACHED : INSTALL;
}
