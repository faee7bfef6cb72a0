/** The timeline's elements, and the words in its head. */

import { plural, clock, span } from "../plain.js";
import { el } from "./dom.js";
import { colourProbes } from "./plot.js";

/**
 * Create the elements of a timeline, by name; `root` contains all of them. `names` is the column beside the plot.
 * `actions` has a function for each button: fold, zoomIn, zoomOut, all, zoomToRange and clear.
 */
export function timelineParts(names, actions) {
  const button = (text, title, click) => {
    const name = /^[A-Z]/.test(text) ? null : title; // a word is its own name, a sign is not
    return el("button", { class: "plain", type: "button", title, "aria-label": name, text, on: { click } });
  };
  const foldButton = el("button", { class: "tl-fold", type: "button", text: "Timeline", on: { click: actions.fold } });
  const summary = el("span", { class: "tl-summary num" }), controls = el("span", { class: "tl-controls" });
  const rangeText = el("span", { class: "num" });
  const chip = el("span", { class: "tl-chip", hidden: true }, rangeText,
    button("Zoom", "Zoom to the selected time", actions.zoomToRange),
    button("×", "Clear the selected time", actions.clear));
  const zooms = el("span", { class: "tl-zoom" }, button("−", "Zoom out", actions.zoomOut),
    button("+", "Zoom in", actions.zoomIn), button("All", "Show the whole session", actions.all));
  const head = el("div", { class: "tl-head" }, foldButton, summary, chip, controls, zooms);

  const canvas = el("canvas", { "aria-hidden": "true" });
  const texts = el("div", { class: "tl-texts", "aria-hidden": "true" });
  const box = el("div", { class: "tl-range", hidden: true }), edge = el("div", { class: "tl-edge", hidden: true });
  const line = el("div", { class: "tl-cursor", hidden: true });
  const plot = el("div", { class: "tl-plot", role: "slider", tabindex: "0", "aria-label": "Moment shown" },
    canvas, texts, box, edge, line);
  const scroller = el("div", { class: "tl-scroll" },
    el("div", { class: "tl-pane" }, names, plot), el("div", { class: "tl-spacer" }));
  const tip = el("div", { class: "tl-tip", hidden: true, "aria-hidden": "true" });
  const body = el("div", { class: "tl-body" }, scroller, tip), probes = colourProbes();
  const root = el("section", { class: "timeline", "aria-label": "Timeline", hidden: true }, head, body, probes);
  return {
    root, body, foldButton, summary, controls, chip, rangeText, scroller, plot, canvas, texts, box, edge, line, tip,
    probes,
  };
}

/** What the head says about a state: the number of agents or, if there are none, of calls. */
export function summaryOf(state) {
  let running = 0;
  for (const agent of state.agents.values()) if (agent.status === "started") running++;
  if (!state.agents.size) return plural(state.calls.size, "call");
  return plural(state.agents.size, "agent") + (running ? `, ${running} running` : "");
}

/** A selected stretch of time, in words. */
export const rangeText = ([from, to]) => `${clock(from)} – ${clock(to)} · ${span(to - from) || "0 s"}`;
