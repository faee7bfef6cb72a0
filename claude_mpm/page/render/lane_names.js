/** The timeline's texts: names beside the lanes, the agents' tasks, the ruler's labels, the tip at the pointer. */

import { brief } from "../text/phrases.js";
import { clean, clock, span } from "../plain.js";
import { arrange, el, prop, text } from "./dom.js";
import { topOf } from "./plot.js";

const PADDING = 7; // px between a bar's edge and its text
const LEAST = 40; // px; with less room than this to the right of its start, a task is set against the right edge
const WAITS = new Map([["permission", "waiting for permission"], ["question", "waiting for an answer"]]);

/** The texts of the lanes in sight. Elements are kept only for those, so their number is bounded. */
export class LaneNames {
  /** `onAgent(key)` is called when a name is pressed; with null, names cannot be pressed. */
  constructor(onAgent) {
    this._onAgent = onAgent;
    this._pool = new Map(); // row → {name, task}
    this._main = el("span", { class: "tl-name tl-main", text: "Main" });
    this._clip = el("div", { class: "tl-names-clip" });
    this.element = el("div", { class: "tl-names" }, this._main, this._clip);
  }

  /** Show the names of `plot.lanes` in `element`, and their tasks and the ruler's labels in `texts`. */
  show(texts, plot, xOf) {
    const rows = plot.lanes.map((lane) => this._lane(lane, plot, xOf));
    for (const row of this._pool.keys()) if (!plot.lanes.some((lane) => lane.row === row)) this._pool.delete(row);
    const label = (tick) => placed(el("span", { class: "tl-tick num", text: tick.label }), xOf(tick.at));
    const labels = plot.ticks.map(label);
    arrange(this._clip, rows.map((row) => row.name));
    texts.replaceChildren(...labels, el("div", { class: "tl-tasks" }, rows.map((row) => row.task)));
  }

  _lane(lane, plot, xOf) {
    let row = this._pool.get(lane.row);
    if (row?.key !== lane.key) {
      const parts = [el("i", { class: "tl-swatch", "aria-hidden": "true" }), el("span", { class: "cut data" })];
      const click = () => this._onAgent(lane.key);
      const name = this._onAgent ? el("button", { type: "button", on: { click } }, parts) : el("span", {}, parts);
      row = { key: lane.key, name, task: el("span", { class: "tl-task cut data" }) };
      this._pool.set(lane.row, row);
    }
    const top = topOf(lane.row, plot.scrolled) - topOf(1, 0);
    row.name.title = clean(`${lane.type}: ${lane.task.slice(0, 300)}`);
    row.name.className = `tl-name agent-hue-${lane.hue}`;
    row.name.dataset.status = lane.status;
    prop(row.name, "--depth", lane.depth);
    prop(row.name, "--y", `${top}px`);
    text(row.name.lastChild, lane.type);
    placeTask(row.task, lane, plot, xOf, top);
    return row;
  }
}

const placed = (element, x) => {
  prop(element, "--x", `${x.toFixed(1)}px`);
  return element;
};

/** A task starts on its agent's bar and may run past its end; if the bar is out of sight, it stands at that edge. */
function placeTask(element, lane, { width }, xOf, top) {
  const from = xOf(lane.from), to = xOf(lane.to), room = width - from - PADDING;
  const side = to < 0 ? "before" : from > width ? "after" : "on";
  const flips = side === "on" && room < LEAST;
  element.dataset.side = flips ? "after" : side;
  const task = lane.task.slice(0, 200), mark = lane.status === "failed" ? "✕ " : "";
  text(element, side === "before" ? `◂ ${mark}${task}` : side === "after" ? `${mark}${task} ▸` : mark + task);
  prop(element, "--y", `${top}px`);
  const left = Math.max(0, from) + PADDING;
  prop(element, "--x", side === "on" && !flips ? `${left.toFixed(1)}px` : "4px");
  prop(element, "--room", `${Math.max(0, flips ? from - 8 : width - left - 2).toFixed(0)}px`);
}

/** The tip's lines for what `under` found: the time, what the thread or the agent was doing, its calls. */
export function tipFor({ at, phase, calls, more }, lane, end) {
  const doing = lane ? agentLine(lane) : phaseLine(phase, end);
  const lines = [el("p", { class: "tl-tip-time num" }, clock(at), doing && ` · ${doing}`)];
  if (lane) lines.push(el("p", { class: "data", text: lane.task.slice(0, 200) }));
  for (const call of calls) {
    const took = span((call.endAt ?? end) - call.at), failed = call.ok === false;
    const state = call.endAt === null ? "running" : failed ? "failed" : "";
    const line = [`${call.tool}  ${brief(call.input)}`.trim(), took, state].filter(Boolean).join(" · ");
    lines.push(el("p", { class: failed ? "tl-tip-call failed" : "tl-tip-call" }, el("bdi", { text: line })));
  }
  if (more) lines.push(el("p", { class: "tl-tip-call", text: `and ${more} more` }));
  return lines;
}

const agentLine = ({ type, status, from, to, background }) =>
  [type, background && "in the background", status === "started" ? "running" : status, span(to - from)]
    .filter(Boolean).join(" · ");

function phaseLine(phase, end) {
  if (!phase) return "";
  const { activity, waitingFor } = phase, took = span((phase.to ?? end) - phase.from);
  const words = activity !== "waiting" ? activity
    : (WAITS.get(waitingFor?.kind) ?? "waiting for input") + (waitingFor?.tool ? ` (${waitingFor.tool})` : "");
  return took ? `${words} for ${took}` : words;
}
