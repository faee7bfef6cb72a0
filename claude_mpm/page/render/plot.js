/** Draws the timeline's marks on a canvas: ticks, the main thread, and a bar with its calls for each agent. */

import { xOf } from "../axis.js";
import { el } from "./dom.js";

/** Heights in px: the ruler, the main thread's row below it, one agent's row. */
export const RULER = 18;
export const MAIN_ROW = 30;
export const AGENT_ROW = 22;

const BAR = { top: 2, height: 18 }; // an agent's bar within its row
const CALLS = { main: [20, 7], agent: [15, 4] }; // top and height of the call marks within a row
const COLOURS = [
  "tick", "idle", "working", "waiting", "hatch", "prompt", "call", "failed",
  "agent-0", "agent-1", "agent-2", "agent-3", "agent-4", "agent-5",
];

/** Elements that carry the plot's colours: a canvas cannot use custom properties, but it can use computed colours. */
export function colourProbes() {
  return el("span", { class: "tl-colours", hidden: true }, COLOURS.map((name) => el("i", { data: { colour: name } })));
}

/** The colours of the current theme, by name. */
export function readColours(probes) {
  return Object.fromEntries([...probes.children].map((i) => [i.dataset.colour, getComputedStyle(i).color]));
}

/** Where a row begins, in px from the top of the plot. */
export const topOf = (row, scrolled) => (row === 0 ? RULER : RULER + MAIN_ROW + (row - 1) * AGENT_ROW - scrolled);

/** The row at `y` px from the top of the plot; the ruler counts as part of the main thread's. */
export const rowAt = (y, scrolled) =>
  y < RULER + MAIN_ROW ? 0 : 1 + Math.floor((y - RULER - MAIN_ROW + scrolled) / AGENT_ROW);

/**
 * Clear the canvas and draw everything.
 *
 * `plot` is {view, width, height, scrolled, ticks, phases, prompts, lanes, marks}; sizes are in CSS pixels, which
 * the context is already scaled to. `lanes` are only those in sight.
 */
export function drawPlot(context, plot, colours) {
  context.clearRect(0, 0, plot.width, plot.height);
  drawTicks(context, plot, colours);
  drawMain(context, plot, colours);
  context.save();
  context.beginPath();
  context.rect(0, RULER + MAIN_ROW, plot.width, plot.height);
  context.clip();
  for (const lane of plot.lanes) drawAgent(context, plot, lane, colours);
  drawMarks(context, plot, colours, (mark) => mark.row > 0);
  context.restore();
}

function drawTicks(context, { view, width, height, ticks }, colours) {
  context.fillStyle = colours.tick;
  for (const { at } of ticks) context.fillRect(Math.round(xOf(view, width, at)), 0, 1, height);
}

function drawMain(context, plot, colours) {
  const { view, width } = plot, hatch = hatching(context, colours);
  for (const { from, to, activity } of plot.phases) {
    const x = Math.max(-1, xOf(view, width, from));
    const long = Math.max(activity === "waiting" ? 3 : 1, Math.min(width + 1, xOf(view, width, to)) - x);
    if (activity === "waiting") fill(context, hatch, x, RULER + 3, long, 14);
    else if (activity === "working") fill(context, colours.working, x, RULER + 7, long, 6);
    else fill(context, colours.idle, x, RULER + 9, long, 2);
  }
  for (const at of plot.prompts) fill(context, colours.prompt, Math.round(xOf(view, width, at)) - 1, RULER + 2, 2, 16);
  drawMarks(context, plot, colours, (mark) => mark.row === 0);
}

function drawAgent(context, { view, width, scrolled }, lane, colours) {
  const x = Math.max(-2, Math.round(xOf(view, width, lane.from)));
  const until = Math.min(width + 2, Math.round(xOf(view, width, lane.to)));
  if (until < 0 || x > width) return;
  const top = topOf(lane.row, scrolled) + BAR.top, long = Math.max(4, until - x), colour = colours[`agent-${lane.hue}`];
  context.globalAlpha = lane.status === "started" ? 0.24 : 0.13;
  fill(context, colour, x, top, long, BAR.height);
  context.globalAlpha = 1;
  context.strokeStyle = lane.status === "failed" ? colours.failed : colour;
  context.setLineDash(lane.background ? [4, 3] : []);
  context.strokeRect(x + 0.5, top + 0.5, long - 1, BAR.height - 1);
  context.setLineDash([]);
  fill(context, context.strokeStyle, x, top, 3, BAR.height);
}

function drawMarks(context, { marks, lanes, scrolled }, colours, wanted) {
  const hues = new Map(lanes.map((lane) => [lane.row, lane.hue]));
  for (const failed of [false, true]) // failures last, so that nothing hides them
    for (const mark of marks) {
      if (mark.failed !== failed || !wanted(mark) || (mark.row > 0 && !hues.has(mark.row))) continue;
      const [offset, height] = mark.row === 0 ? CALLS.main : CALLS.agent;
      const colour = failed ? colours.failed : mark.row === 0 ? colours.call : colours[`agent-${hues.get(mark.row)}`];
      const long = Math.max(failed ? 3 : 2, mark.width - 1), above = failed ? 2 : 0;
      fill(context, colour, mark.x, topOf(mark.row, scrolled) + offset - above, long, height + above);
    }
}

function fill(context, style, x, y, width, height) {
  context.fillStyle = style;
  context.fillRect(x, y, width, height);
}

/** Diagonal stripes: waiting must differ in shape as well as in colour. */
function hatching(context, colours) {
  const tile = new OffscreenCanvas(7, 7), brush = tile.getContext("2d");
  fill(brush, colours.hatch, 0, 0, 7, 7);
  brush.strokeStyle = colours.waiting;
  brush.lineWidth = 2.5;
  for (const x of [-7, 0, 7]) {
    brush.beginPath();
    brush.moveTo(x - 1, 8);
    brush.lineTo(x + 8, -1);
    brush.stroke();
  }
  return context.createPattern(tile, "repeat");
}
