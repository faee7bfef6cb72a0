// The menu of event types: which of them the list shows.

import { el, text } from "./dom.js";
import { count } from "../plain.js";

const QUIET = ["claude.usage", "claude.output", "system.status", "agent.status"]; // hidden at first
/** The types that are hidden. */
export const off = new Set(QUIET);
let drawn = "";

/** Hide a type or show it; with `only`, hide all the others. */
export function toggleType(session, type, only) {
  if (only) {
    for (const other of [...session.types.keys(), ...QUIET]) off.add(other);
    off.delete(type);
  } else if (!off.delete(type)) off.add(type);
}

/** Draw the menu, and the button that opens it. `toggle(type, only)` is called for a click. */
export function renderTypes(menu, button, session, toggle) {
  const kinds = [...new Set([...session.types.keys(), ...QUIET])].sort(),
    families = Map.groupBy(kinds, (kind) => kind.split(".")[0]);
  const key = kinds.map((kind) => kind + off.has(kind) + session.types.get(kind)).join();
  text(button, "Types (" + kinds.filter((kind) => !off.has(kind)).length + " of " + kinds.length + ") ▾");
  if (menu.hidden || drawn === key) return;
  drawn = key;
  const focused = document.activeElement && document.activeElement.dataset.kind;
  const row = (kind) =>
    el(
      "button",
      {
        type: "button",
        "aria-pressed": String(!off.has(kind)),
        data: { kind },
        title: "Click: show or hide. Alt-click: only this one.",
        on: { click: (event) => toggle(kind, event.altKey || event.shiftKey) },
      },
      el("span", { class: "check", text: off.has(kind) ? "☐" : "☑" }),
      el("span", { class: "grow", text: kind }),
      el("span", { class: "num", text: session.types.get(kind) ? count(session.types.get(kind)) : "" }),
    );
  menu.replaceChildren(
    ...[...families].map(([family, members]) =>
      el("div", { class: "family" }, el("h3", { text: family }), members.map(row)),
    ),
  );
  if (focused) [...menu.querySelectorAll("button")].find((item) => item.dataset.kind === focused)?.focus();
}
