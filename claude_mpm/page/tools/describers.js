// One describer per tool: its label, subject, facts and the parts of its detail. Pure.

import { EDIT_TOOLS, fileEdits } from "./edits.js";
import { cut, dict, line, list, num, plural, str } from "../plain.js";
import { agentAnswer, withoutExit } from "./results.js";
import { firstLine, lineCount, relativePath, terminalText, visible, webAddress } from "../text/text.js";

const MAX_PROMPT = 16384; // characters of an agent's prompt, as in an event
const MAX_FIELDS = 60; // of an unknown tool's input
const MAX_LINKS = 50; // of a web search
const MAX_OPTIONS = 20; // of a question, and questions of a call

function bash({ input, summary, state }) {
  const command = str(input.command),
    title = str(input.description).trim();
  const output = terminalText(withoutExit(summary)).trim();
  const silent = output === "" || output === "(Bash completed with no output)";
  const parts = [{ kind: "command", text: visible(command) }];
  if (!silent) parts.push({ kind: "output", text: output });
  else if (state === "done") parts.push({ kind: "note", text: "No output." });
  const facts = input.run_in_background === true ? ["in background"] : [];
  return { label: title || "Bash", subject: command, code: true, facts, parts };
}

function edit({ call, tool, path }) {
  const { path: file, edits, added, removed, partial, created } = fileEdits(call);
  const facts = edits.length > 1 ? [plural(edits.length, "edit")] : [];
  if (edits.some((one) => one.everywhere)) facts.push("every occurrence");
  const parts = edits.map((one) => ({ kind: "diff", edit: one }));
  const label = created ? "Create" : tool === "NotebookEdit" ? "Edit notebook" : tool === "MultiEdit" ? "Edit" : tool;
  return { label, subject: path(file), code: true, path: file, facts, parts, counts: { added, removed, partial } };
}

function read({ input, summary, path, state }) {
  const file = str(input.file_path) || str(input.path);
  const offset = num(input.offset),
    limit = num(input.limit);
  const facts = [];
  if (offset !== null || limit !== null) {
    const first = offset || 1;
    facts.push(limit === null ? "from line " + first : "lines " + first + "–" + (first + limit - 1));
  } else if (state === "done" && summary) facts.push(plural(lineCount(summary), "line"));
  return {
    label: "Read",
    subject: path(file),
    code: true,
    path: file,
    facts,
    parts: result(numbered(summary), state),
  };
}

/** Read's own line numbers ("    12→text") set off by spaces; its reminders to the model are no part of the file. */
const numbered = (summary) =>
  summary
    .replace(/<system-reminder>[\s\S]*?<\/system-reminder>/g, "")
    .replace(/^( *\d{1,7})[→\t]/gm, "$1  ")
    .trimEnd();

function result(text, state, kind = "output") {
  const shown = terminalText(text).replace(/^\n+|\s+$/g, "");
  return shown && state !== "failed" ? [{ kind, text: shown }] : [];
}

function search({ tool, input, summary, path, state }) {
  const facts = ["path", "glob", "type"]
    .filter((key) => str(input[key]))
    .map((key) => whereText(key, input[key], path));
  if (state === "done") facts.push(matches(summary));
  const found = summary.split("\n").map(path).join("\n"); // each line begins with a path
  return { label: tool, subject: str(input.pattern), code: true, facts, parts: result(found, state) };
}

const whereText = (key, value, path) =>
  key === "path"
    ? "in " + line(visible(path(value)), 80)
    : key === "glob"
      ? line(visible(str(value)), 60)
      : "." + line(visible(str(value)), 20);

function matches(summary) {
  if (/^No (files|matches) found/.test(summary) || summary.trim() === "") return "nothing found";
  const told = /^Found (\d+) (?:files?|total occurrences)/.exec(summary);
  const number = told ? Number(told[1]) : lineCount(summary.trim());
  return number + (number === 1 ? " match" : " matches");
}

function listDirectory({ input, summary, path, state }) {
  return { label: "List", subject: path(input.path) || ".", code: true, parts: result(summary, state) };
}

function todoCall({ tool, input, state, summary }) {
  const todos = tool === "TodoWrite" ? list(input.todos).slice(0, 200).map(dict) : [];
  const parts = todos.length
    ? [{ kind: "todos", todos: todos.map((todo) => ({ status: str(todo.status), text: str(todo.content) })) }]
    : [];
  const subject = str(input.subject) || (input.taskId === undefined ? "" : "task " + str(input.taskId));
  return { label: TODO_LABELS.get(tool), subject, parts: parts.length ? parts : result(summary, state) };
}

const TODO_LABELS = new Map([
  ["TodoWrite", "Todo list"],
  ["TaskCreate", "New todo"],
  ["TaskUpdate", "Todo changed"],
  ["TaskList", "Read the todos"],
  ["TaskGet", "Read a todo"],
  ["TodoRead", "Read the todos"],
]);

function agentCall({ input, summary, state }) {
  const parts = str(input.prompt) ? [{ kind: "markdown", text: str(input.prompt).slice(0, MAX_PROMPT) }] : [];
  const answer = agentAnswer(summary);
  if (answer && state !== "failed")
    parts.push({ kind: "note", text: "Its answer" }, { kind: "markdown", text: answer });
  return { label: str(input.subagent_type) || "Agent", subject: str(input.description), parts };
}

function webFetch({ input, summary, state }) {
  const url = str(input.url),
    address = webAddress(url);
  const links = address
    ? [{ kind: "links", links: [{ href: url, title: visible(url) }] }]
    : [{ kind: "prose", text: visible(url) }];
  const question = str(input.prompt) ? [{ kind: "prose", text: visible(str(input.prompt)) }] : [];
  const subject = address ? address.host + (address.pathname === "/" ? "" : address.pathname) : url;
  return {
    label: "Fetch",
    subject,
    code: false,
    parts: [...links, ...question, ...result(summary, state, "markdown")],
  };
}

function webSearch({ input, summary, state }) {
  const links = searchResults(summary);
  const facts = state === "done" && links.length ? [plural(links.length, "result")] : [];
  const text = links.length ? summary.replace(/^Links: \[.*\]$/gm, "").trim() : summary;
  const parts = links.length ? [{ kind: "links", links }] : [];
  return {
    label: "Search the web",
    subject: str(input.query),
    facts,
    parts: [...parts, ...result(text, state, "markdown")],
  };
}

function searchResults(summary) {
  const found = [];
  for (const [, json] of summary.matchAll(/^Links: (\[.*\])$/gm)) {
    try {
      found.push(...list(JSON.parse(json)).map(dict));
    } catch {
      continue; // cut off with the rest of a long result
    }
  }
  const links = found.filter((link) => webAddress(str(link.url)));
  return links
    .slice(0, MAX_LINKS)
    .map((link) => ({ href: link.url, title: line(visible(str(link.title) || link.url)) }));
}

function plan({ input, summary, state }) {
  const text = str(input.plan) || (state === "done" ? summary : "");
  return {
    label: "Plan",
    subject: firstLine(text).replace(/^#+\s*/, ""),
    parts: text ? [{ kind: "markdown", text }] : [],
  };
}

function question({ input, summary }) {
  const answers = dict(input.answers);
  const questions = list(input.questions)
    .slice(0, MAX_OPTIONS)
    .map(dict)
    .map((one) => {
      const text = str(one.question);
      const answer = str(answers[text]) || answerIn(summary, text);
      return {
        header: str(one.header),
        question: text,
        several: one.multiSelect === true,
        answer,
        options: options(one, answer),
      };
    });
  const subject = questions.map((one) => one.question).join(" ");
  const answer = questions
    .map((one) => one.answer)
    .filter(Boolean)
    .join(" · ");
  const facts = answer ? ["→ " + line(visible(answer), 80)] : [];
  return {
    label: questions.length > 1 ? "Questions" : "Question",
    subject,
    facts,
    parts: [{ kind: "questions", questions }],
  };
}

/** The answer as the result tells it, for versions whose input has none: … "Which color?"="Blue" … */
function answerIn(summary, text) {
  const marker = '"' + text + '"="',
    at = text ? summary.indexOf(marker) : -1;
  return at < 0 ? "" : summary.slice(at + marker.length).split(/"(?:[,.]|\s|$)/)[0];
}

function options(one, answer) {
  const chosen = new Set(one.multiSelect === true ? answer.split(", ") : [answer]);
  return list(one.options)
    .slice(0, MAX_OPTIONS)
    .map(dict)
    .map((option) => ({
      label: str(option.label),
      description: str(option.description),
      chosen: chosen.has(str(option.label)),
    }));
}

function skill({ tool, input, summary, state }) {
  const subject = [input.skill ?? input.command, input.args].map(str).filter(Boolean).join(" ");
  return { label: tool === "Skill" ? "Skill" : "Command", subject, code: true, parts: result(summary, state) };
}

function toolSearch({ input }) {
  const query = str(input.query);
  return {
    label: "Load tools",
    subject: query
      .replace(/^select:/, "")
      .split(",")
      .join(", "),
  };
}

function shell({ tool, input, summary, state }) {
  const label = /^Kill|Stop$/.test(tool) ? "Stop background task" : "Output of background task";
  const id = [input.bash_id, input.shell_id, input.task_id].map(str).find(Boolean);
  return { label, subject: id ?? "", code: true, parts: result(summary, state) };
}

function mcpCall(about) {
  const [, server, ...rest] = about.tool.split("__");
  const name = (server ?? "").replace(/_/g, " ") + " · " + rest.join("__").replace(/_/g, " ");
  return { ...unknownCall(about), label: name };
}

function unknownCall({ tool, call, input, summary, state, path }) {
  const entries = Object.entries(input)
    .filter(([, value]) => value !== null && value !== "")
    .slice(0, MAX_FIELDS);
  const fields = entries.map(([key, value]) => [line(visible(key), 60), visible(cut(fieldText(value), 4000))]);
  if (!entries.length && str(call.input) && typeof call.input !== "object")
    fields.push(["input", visible(str(call.input))]);
  const subject = entries.map(([, value]) => value).find((value) => typeof value === "string" && value.trim());
  return {
    label: tool,
    subject: path(subject ?? ""),
    parts: [...(fields.length ? [{ kind: "fields", fields }] : []), ...result(summary, state)],
  };
}

function fieldText(value) {
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) return value.map(str).join(", ");
  return typeof value === "object" && value ? JSON.stringify(value, null, 1) : str(value);
}

const DESCRIBERS = new Map([
  ...[...EDIT_TOOLS].map((tool) => [tool, edit]),
  ...[...TODO_LABELS.keys()].map((tool) => [tool, todoCall]),
  ["Bash", bash],
  ["Read", read],
  ["NotebookRead", read],
  ["Grep", search],
  ["Glob", search],
  ["LS", listDirectory],
  ["Agent", agentCall],
  ["Task", agentCall],
  ["WebFetch", webFetch],
  ["WebSearch", webSearch],
  ["ExitPlanMode", plan],
  ["AskUserQuestion", question],
  ["Skill", skill],
  ["SlashCommand", skill],
  ["ToolSearch", toolSearch],
  ["BashOutput", shell],
  ["KillShell", shell],
  ["KillBash", shell],
  ["TaskOutput", shell],
  ["TaskStop", shell],
]);

/**
 * The describer of a tool: a function of {call, tool, input, summary, state, path} that returns a part of a
 * Description.
 * @param {string} tool
 */
export const describerOf = (tool) => DESCRIBERS.get(tool) ?? (tool.startsWith("mcp__") ? mcpCall : unknownCall);
