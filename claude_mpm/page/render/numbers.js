/** The Numbers view: what the session has used by turn, and its tools and agents. */

import { endOf } from "../lanes.js";
import { joined, numbersOf } from "../numbers.js";
import { brief } from "../text/phrases.js";
import { clean, count, dollars, line, plural, span } from "../plain.js";
import { el, prop } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const BARS = 60; // in a chart; further turns are joined
const ROWS = 60; // in a table; names come from the session, so there may be any number of them
const HEIGHT = 64; // of a chart, in px; its width is stretched to fit
const FEWEST = 12; // columns in a chart, so that two turns do not become two walls

/**
 * The view of `state`, as a new element. Calls that still run are counted up to `end`, in ms.
 *
 * @returns {HTMLElement}
 */
export function renderNumbers(state, end = endOf(state, state.at)) {
  const numbers = numbersOf(state, end);
  const tools = numbers.tools.length > 0 && section("Tools", table("Tools", TOOL_COLUMNS, numbers.tools));
  const agents = numbers.agents.length > 0 && section("Agents", table("Agents", AGENT_COLUMNS, numbers.agents));
  const empty = !numbers.tokens && !tools && !agents;
  return el("div", { class: "numbers" },
    empty ? el("p", { class: "none", text: "Numbers appear with the first answer and the first tool call." }) : null,
    facts(numbers), charts(numbers), tools, agents);
}

const section = (title, ...children) => el("section", {}, el("h2", { text: title }), ...children);

function facts({ tokens, cost, costIsEstimate, context, turns }) {
  const fact = (name, value, small = "") =>
    el("div", {}, el("dt", { text: name }), el("dd", {}, value, small && el("small", { text: ` ${small}` })));
  const known = [
    cost !== null && fact("Cost", dollars(cost, costIsEstimate)),
    context !== null && fact("Context", `${Math.round(context)} %`),
    tokens && fact("Tokens", count(tokens.total), "in all"),
    tokens && fact("Input", count(tokens.input)), tokens && fact("Output", count(tokens.output)),
    tokens && fact("Cache", count(tokens.cache_read), `read, ${count(tokens.cache_creation)} written`),
    turns.length > 0 && fact("Prompts", String(turns.filter((turn) => turn.seq !== null).length)),
  ].filter(Boolean);
  return known.length ? el("dl", { class: "facts" }, known) : null;
}

function charts({ turns }) {
  if (turns.length < 2) return null; // a single bar would repeat the facts above
  const bars = joined(turns, BARS);
  const drawn = [
    chart("Tokens by turn", bars, (turn) => turn.tokens, count),
    chart("Cost by turn", bars, (turn) => turn.cost, (value) => dollars(value, false)),
    chart("Context by turn", bars, (turn) => turn.context, (value) => `${Math.round(value)} %`, 100),
  ].filter(Boolean);
  return drawn.length ? el("div", { class: "charts" }, drawn) : null;
}

function chart(title, turns, valueOf, written, full = 0) {
  const values = turns.map(valueOf), known = values.filter((value) => value !== null), most = Math.max(0, ...known);
  if (most === 0) return null;
  const scale = full || most, columns = Math.max(FEWEST, turns.length);
  const label = `${title}: ${plural(turns.length, "bar")}, up to ${written(most)}`;
  const box = node("svg", {
    viewBox: `0 0 ${columns * 10} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  values.forEach((value, i) => {
    if (!value) return;
    const height = Math.max(1.5, (value / scale) * HEIGHT);
    const bar = node("rect", { x: i * 10 + 1, y: HEIGHT - height, width: 8, height });
    bar.append(node("title", {}));
    bar.firstChild.textContent = clean(`${written(value)}\n${line(turns[i].prompt, 80) || "before the first prompt"}`);
    box.append(bar);
  });
  return el("figure", {}, el("figcaption", {}, el("span", { text: title }),
    el("span", { class: "num", text: `up to ${written(most)}` })), box);
}

/** An SVG element. Callers fix the names of attributes; data never chooses one. */
function node(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

const failures = ({ failures }) => (failures ? el("span", { class: "failures", text: String(failures) }) : "");
const time = ({ totalMs }) => span(totalMs) || "< 0.1 s";
const slowest = (group, hint) =>
  el("span", { title: hint, text: (group.calls > 1 && span(group.slowestMs)) || "" });
const shared = (group, groups) => {
  const bar = el("span", { class: "share", "aria-hidden": "true" }, el("i"));
  prop(bar.firstChild, "--part", (group.totalMs / Math.max(1, groups[0].totalMs)).toFixed(3));
  return bar;
};

const TOOL_COLUMNS = new Map([
  ["Tool", ({ name }) => el("bdi", { title: name, text: line(name, 80) })],
  ["Calls", ({ calls }) => String(calls)],
  ["Failed", failures],
  ["Running", ({ running }) => (running ? String(running) : "")],
  ["Time", time],
  ["", shared],
  ["Slowest", (group) => slowest(group, brief(group.slowest.input))],
]);

const AGENT_COLUMNS = new Map([
  ["Agent", ({ name }) => el("bdi", { title: name, text: line(name, 80) })],
  ["Runs", ({ calls }) => String(calls)],
  ["Failed", failures],
  ["Running", ({ running }) => (running ? String(running) : "")],
  ["Time", time],
  ["", shared],
  ["Slowest", (group) => slowest(group, group.slowest.task)],
  ["Tokens", ({ tokens }) => (tokens ? count(tokens) : "")],
  ["Tool calls", ({ toolUses }) => (toolUses ? String(toolUses) : "")],
]);

/** A table with a row for each group, without the columns that would be empty. */
function table(title, columns, groups) {
  const shown = groups.slice(0, ROWS), rest = groups.length - shown.length;
  const told = [...columns].map(([name, cell]) => [name, shown.map((group) => el("td", {}, cell(group, groups)))])
    .filter(([name, cells]) => !name || cells.some((cell) => cell.textContent));
  const head = told.map(([name]) => (name ? el("th", { scope: "col", text: name }) : el("td")));
  const rows = shown.map((_, i) => el("tr", {}, told.map(([, cells]) => cells[i])));
  const table = el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows));
  const wide = { class: "wide", tabindex: "0", role: "region", "aria-label": title }; // may scroll, so takes the focus
  return el("div", wide, table, rest > 0 && el("p", { class: "none", text: `and ${rest} more` }));
}
