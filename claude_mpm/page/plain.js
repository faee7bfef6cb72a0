// Plain text and numbers as people read them. Pure.
// Everything a session says is hostile until it has passed clean().

import { INVISIBLE, SUSPECT, visible } from "./text/text.js";

/** Drop terminal escapes and make control and bidi characters visible, so no text reorders or hides its neighbours. */
export const clean = visible;

/** The same JSON value with every unprintable character escaped: safe to copy into a terminal. */
export function plainJson(raw) {
  const escape = (unit) => "\\u" + unit.charCodeAt(0).toString(16).padStart(4, "0");
  return SUSPECT.test(raw) ? raw.replace(INVISIBLE, (c) => (c < " " ? c : c.split("").map(escape).join(""))) : raw;
}

/** A string as it is, nothing as "", anything else as JSON. */
export const str = (value) =>
  typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value) || "";
/** A finite number, else null. */
export const num = (value) => (typeof value === "number" && isFinite(value) ? value : null);
/** An array, else an empty one. */
export const list = (value) => (Array.isArray(value) ? value : []);
/** A plain object, else an empty one. */
export const dict = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
/** At most `size` characters, with an ellipsis where something was cut. */
export const cut = (text, size) => (text.length > size ? text.slice(0, size) + "…" : text);
/** One line of at most `size` characters. */
export const line = (text, size = 200) =>
  cut(
    str(text)
      .slice(0, size * 4)
      .trim()
      .replace(/\s+/g, " "),
    size,
  );
/** A timestamp in ms since the epoch, null if it is none. */
export const when = (stamp) => Date.parse(stamp) || null;
/** The last part of a path. */
export const base = (path) =>
  str(path)
    .replace(/[/\\]+$/, "")
    .split(/[/\\]/)
    .pop() || str(path);

const two = (n) => String(n).padStart(2, "0");

/** The local time of day, "18:46:15"; with `exact`, milliseconds too. */
export function clock(ms, exact = false) {
  const d = new Date(ms);
  const whole = two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds());
  return exact ? whole + "." + String(d.getMilliseconds()).padStart(3, "0") : whole;
}

/** A duration of `ms`, rounded to what matters: "" below 50 ms, "0.4 s", "12 s", "3 min 05", "2 h 10". */
export function span(ms) {
  if (ms === null || ms === undefined || !isFinite(ms) || ms < 50) return "";
  if (ms < 9950) return (ms / 1000).toFixed(1) + " s";
  const s = Math.round(ms / 1000),
    m = Math.floor(s / 60);
  return s < 60 ? s + " s" : m < 60 ? m + " min " + two(s % 60) : Math.floor(m / 60) + " h " + two(m % 60);
}

/** A duration that is still growing, in whole seconds: "0 s", "12 s", then as span(). */
export const running = (ms) => (ms < 9950 ? Math.max(0, Math.floor(ms / 1000)) + " s" : span(ms));

/** How long ago, roughly: "just now", "12 min ago", "3 h ago". */
export function ago(ms) {
  const m = Math.floor(ms / 60000);
  return m < 1
    ? "just now"
    : m < 60
      ? m + " min ago"
      : m < 2880
        ? Math.floor(m / 60) + " h ago"
        : Math.floor(m / 1440) + " days ago";
}

/** A count in at most four characters: "950", "1.2k", "34k", "5.6M". */
export const count = (n) =>
  n < 1000
    ? String(n)
    : n < 1e4
      ? (n / 1e3).toFixed(1) + "k"
      : n < 999500
        ? Math.round(n / 1e3) + "k"
        : (n / 1e6).toFixed(1) + "M";

/** "1 agent", "2 agents". */
export const plural = (n, word) => n + " " + word + (n === 1 ? "" : "s");

/** Dollars with cents; "≈" before an estimate. */
export const dollars = (usd, estimate) => (estimate ? "≈ $" : "$") + usd.toFixed(2);
