// The renderers of Claude's work without the rest of the page. ?hostile: every renderer with junk in every field.

import { renderChanges } from "/claude_mpm/page/render/changes.js";
import { renderMarkdown } from "/claude_mpm/page/render/markdown.js";
import { foldCalls, renderAgent, renderCall, renderRow } from "/claude_mpm/page/render/tool.js";

import { START } from "./session.mjs";
import { EVIL, JUNK, MESSAGE, hostileCalls, stateOf, story } from "./work_story.mjs";

const asked = (window.asked = []);
const tell = (what) => (value) => asked.push([what, value]);
const context = (over = false) => ({
  workingDir: "/src", now: START + 100000, over, opened: new Map(),
  onAgent: tell("agent"), onRaw: tell("raw"), onFile: tell("file"),
});
const main = document.querySelector("main");

function message(text) {
  const element = document.createElement("div");
  element.className = "markdown data";
  element.append(renderMarkdown(text));
  return element;
}

function heading(text) {
  const element = document.createElement("h1");
  element.textContent = text;
  return element;
}

function shownStory() {
  const state = story(), ctx = context();
  main.append(heading("Message"), message(MESSAGE), heading("Work"));
  for (const row of foldCalls(state.rows, state)) main.append(renderRow(row, state, ctx));
  main.append(heading("Changes"), renderChanges(state, ctx));
}

/** Render everything with everything opened; count what was drawn, and name what no renderer may create. */
function hostile() {
  const calls = hostileCalls();
  const state = stateOf(calls, { agents: new Map([["k", {}]]) });
  const result = (window.result = { rows: 0, foreign: [], links: [], failures: [] });
  const check = (label, make) => {
    try {
      const element = make();
      for (const details of element.querySelectorAll?.("details") ?? []) details.open = true;
      main.replaceChildren(element);
      for (const details of main.querySelectorAll("details")) details.dispatchEvent(new Event("toggle"));
      inspect(result);
      result.rows++;
    } catch (error) {
      result.failures.push(label + ": " + error.stack.slice(0, 300));
    }
  };
  for (const [id, call] of calls) check("call " + id, () => renderCall(call, context()));
  for (const junk of JUNK) {
    check("agent", () => renderAgent({ key: "k", agent: junk, task: junk, status: junk, reason: junk, durationMs: junk, tokens: junk, toolUses: junk, at: 1 },
      context(), { seq: 1, call: { summary: junk } }));
    if (typeof junk === "string") check("message", () => message(junk));
  }
  for (const row of foldCalls(state.rows, state).filter((one) => one.kind === "todos")) check("todos", () => renderRow(row, state, context()));
  check("changes", () => renderChanges(state, { ...context(), file: "" }));
  main.replaceChildren(message(EVIL));
}

const OURS = new Set(["DIV", "P", "SPAN", "H2", "H3", "H4", "H5", "H6", "HR", "BLOCKQUOTE", "PRE", "CODE", "BUTTON", "OL", "UL", "LI", "TABLE", "THEAD", "TBODY",
  "TR", "TH", "TD", "BR", "A", "STRONG", "EM", "S", "DL", "DT", "DD", "DETAILS", "SUMMARY", "B", "MARK", "TIME"]);

function inspect(result) {
  for (const element of main.querySelectorAll("*")) {
    const odd = [...element.attributes].filter(({ name }) => name.startsWith("on") || name === "src" || name === "style").map(({ name }) => name);
    if ((!OURS.has(element.tagName) || odd.length) && result.foreign.length < 10) result.foreign.push(element.tagName + " " + odd);
    if (element.href !== undefined && !/^https?:\/\//.test(element.href) && result.links.length < 10) result.links.push(element.href);
  }
}

if (location.search === "?hostile") hostile();
else shownStory();
document.documentElement.dataset.ready = "yes";
