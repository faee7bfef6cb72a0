// The parts of a tool call's detail, one renderer per kind.

import { el } from "./dom.js";
import { renderDiff } from "./diff.js";
import { renderCode, renderMarkdown } from "./markdown.js";

const MARKS = new Map([
  ["completed", "✔"],
  ["in_progress", "▸"],
]);

/**
 * @param {import("../tools/tools.js").Part} part
 * @returns {HTMLElement}
 */
export const renderPart = (part) => PARTS.get(part.kind)(part);

const PARTS = new Map([
  ["diff", ({ edit }) => renderDiff(edit)],
  ["command", ({ text }) => renderCode(text, "")],
  ["output", ({ text }) => el("pre", { class: "part-output data", tabindex: 0, text })],
  ["prose", ({ text }) => el("p", { class: "part-prose data", text })],
  ["note", ({ text }) => el("p", { class: "part-note", text })],
  ["markdown", ({ text }) => el("div", { class: "part-markdown markdown data" }, renderMarkdown(text))],
  ["fields", renderFields],
  ["links", renderLinks],
  ["todos", renderTodoList],
  ["questions", ({ questions }) => el("div", { class: "part-questions" }, questions.map(renderQuestion))],
]);

function renderFields({ fields }) {
  const pairs = fields.map(([name, value]) => [
    el("dt", { class: "data", text: name }),
    el("dd", { class: "data", text: value }),
  ]);
  return el("dl", { class: "part-fields" }, pairs.flat());
}

function renderLinks({ links }) {
  const item = ({ href, title }) => {
    const link = el("a", { href, title: href, target: "_blank", rel: "noopener noreferrer", text: title });
    return el("li", {}, link, title === href ? null : el("span", { class: "link-address data", text: href }));
  };
  return el("ul", { class: "part-links" }, links.map(item));
}

function renderTodoList({ todos }) {
  const item = ({ status, text }) =>
    el(
      "li",
      { data: { status } },
      el("span", { class: "todo-mark", text: MARKS.get(status) ?? "○" }),
      el("span", { class: "data", text }),
    );
  return el("ul", { class: "part-todos" }, todos.map(item));
}

function renderQuestion({ header, question, several, answer, options }) {
  const mark = (chosen) => (several ? (chosen ? "☑" : "☐") : chosen ? "●" : "○");
  const item = ({ label, description, chosen }) =>
    el(
      "li",
      { class: chosen ? "chosen" : null },
      el("span", {
        class: "option-mark",
        role: "img",
        "aria-label": chosen ? "chosen" : "not chosen",
        text: mark(chosen),
      }),
      el("span", { class: "data" }, el("b", { text: label }), description ? " " + description : null),
    );
  const own = answer && !options.some((option) => option.chosen);
  return el(
    "div",
    { class: "question" },
    el("p", { class: "data" }, header ? el("span", { class: "question-header", text: header }) : null, question),
    el("ul", {}, options.map(item)),
    own ? el("p", { class: "data" }, "Answer: ", el("b", { text: answer })) : null,
  );
}
