// A message's Markdown as elements. Everything is made with createElement; no text ever becomes markup.

import { flatText } from "../text/emphasis.js";
import { parseMarkdown } from "../text/markdown.js";
import { visible, webAddress } from "../text/text.js";
import { el } from "./dom.js";

/**
 * Render a message. Links lead to http and https only and open in a new tab; images are links, none is loaded.
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function renderMarkdown(text) {
  const { blocks, omitted } = parseMarkdown(text);
  rank(blocks);
  const fragment = document.createDocumentFragment();
  fragment.append(...blocks.map((block) => renderBlock(block)));
  if (omitted) {
    fragment.append(
      el("p", { class: "md-cut", text: omitted.toLocaleString("en") + " more characters are not shown." }),
    );
  }
  return fragment;
}

/**
 * Give each heading of a message the rank it has on the page, whose title is the only h1: the first is an h2, and none
 * skips a rank, whatever the message itself does.
 */
function rank(blocks, last = 1) {
  for (const block of blocks) {
    if (block.type === "heading") block.rank = last = Math.min(6, last + 1, block.level + 1);
    for (const inner of block.type === "list" ? block.items : block.type === "quote" ? [block] : []) {
      last = rank(inner.blocks, last);
    }
  }
  return last;
}

const renderBlock = (block) => BLOCKS.get(block.type)(block);

const BLOCKS = new Map([
  ["heading", ({ level, rank, inline }) => el("h" + rank, { class: "md-heading md-h" + level }, inlines(inline))],
  ["paragraph", ({ inline }) => el("p", { class: "md-text" }, inlines(inline))],
  ["rule", () => el("hr", { class: "md-rule" })],
  ["quote", ({ blocks }) => el("blockquote", { class: "md-quote" }, blocks.map(renderBlock))],
  ["code", ({ language, text }) => renderCode(text, language)],
  ["list", renderList],
  ["table", renderTable],
]);

/**
 * A block of code with its language and a button that copies what is shown.
 * @param {string} text
 * @param {string} [language]
 * @returns {HTMLElement}
 */
export function renderCode(text, language = "") {
  const shown = visible(text);
  const head = el(
    "div",
    { class: "code-head" },
    copyButton(shown),
    language ? el("span", { class: "code-language", text: language }) : null,
  );
  return el("div", { class: "code" }, head, el("pre", { tabindex: 0 }, el("code", { text: shown })));
}

function copyButton(text) {
  if (!navigator.clipboard) return null; // not a secure context
  const button = el("button", { class: "code-copy", type: "button", text: "Copy" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => {
      button.textContent = "Copy";
    }, 1500);
  });
  return button;
}

function renderList({ ordered, start, tight, items }) {
  const list = el(ordered ? "ol" : "ul", { class: "md-list" + (tight ? " md-tight" : "") }, items.map(renderItem));
  if (ordered && start !== 1) list.start = start;
  return list;
}

function renderItem({ task, blocks }) {
  if (task === null) return el("li", {}, blocks.map(renderBlock));
  const box = el("span", {
    class: "md-box",
    role: "img",
    "aria-label": task ? "done" : "not done",
    text: task ? "☑" : "☐",
  });
  return el("li", { class: "md-task" }, box, el("div", {}, blocks.map(renderBlock)));
}

function renderTable({ align, head, rows }) {
  const cell = (tag, inline, column) =>
    el(tag, { class: align[column] ? "md-" + align[column] : null }, inlines(inline));
  const row = (tag, cells) =>
    el(
      "tr",
      {},
      cells.map((inline, column) => cell(tag, inline, column)),
    );
  const body = el(
    "tbody",
    {},
    rows.map((cells) => row("td", cells)),
  );
  const table = el("table", {}, el("thead", {}, row("th", head)), body);
  return el("div", { class: "md-table", tabindex: 0 }, table);
}

const inlines = (nodes) => nodes.map(renderInline);

function renderInline(node) {
  if (node.type === "text") return node.text;
  if (node.type === "break") return el("br");
  if (node.type === "code") return el("code", { text: node.text });
  if (node.type === "link") return renderLink(node);
  return el({ strong: "strong", emphasis: "em", strike: "s" }[node.type], {}, inlines(node.children));
}

function renderLink({ href, image, children }) {
  const label = flatText({ children });
  const link = el(
    "a",
    { href, title: href, target: "_blank", rel: "noopener noreferrer" },
    label ? inlines(children) : href,
  );
  const host = webAddress(href)?.host ?? "";
  const parts = [
    image ? "Image: " : null,
    link,
    misleads(label, host) ? el("span", { class: "md-host", text: " (" + host + ")" }) : null,
  ];
  return parts.filter(Boolean).length === 1 ? link : el("span", {}, parts);
}

/** Whether a link's label reads like an address of another host than the one it leads to. */
function misleads(label, host) {
  const named = /^\s*(?:https?:\/\/)?(?:[^\s/@]*@)?((?:[\w-]+\.)+[a-z]{2,})(?=[:/?#\s]|$)/i.exec(label)?.[1];
  return Boolean(named) && named.toLowerCase() !== host.replace(/:\d+$/, "").toLowerCase();
}
