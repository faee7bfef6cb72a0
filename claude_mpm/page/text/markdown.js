// Markdown blocks, as far as Claude's messages use them. Pure: text in, a tree out; no HTML, no images, no DOM.
// CommonMark 0.31 where it matters, with GFM's tables and task lists.

import { parseInline } from "./inline.js";

const MAX_TEXT = 64 * 1024; // characters; an event's text has at most 16 Ki
const MAX_NESTING = 8; // lists and quotes within each other
const MAX_NODES = 2000; // blocks and inline nodes of one text; the page's whole document may have 4,500
const MAX_COLUMNS = 40;

const FENCE = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})\s*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?[ \t]*$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-+*]|\d{1,9}[.)])( +|$)/;
const TASK = /^\[([ xX])\][ \t]+/;
const DELIMITERS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const UNDERLINE = /^ {0,3}(=+|-+)[ \t]*$/;

/**
 * @typedef {import("./inline.js").Inline} Inline
 * @typedef {{type: "heading", level: number, inline: Inline[]} | {type: "paragraph", inline: Inline[]}
 *   | {type: "code", language: string, text: string} | {type: "rule"} | {type: "quote", blocks: Block[]}
 *   | {type: "list", ordered: boolean, start: number, tight: boolean,
 *      items: {task: boolean|null, blocks: Block[]}[]}
 *   | {type: "table", align: ("left"|"center"|"right"|"")[], head: Inline[][], rows: Inline[][][]}} Block
 */

/**
 * Parse a message. Input beyond 64 Ki characters is left out and counted; lists and quotes nested deeper than 8, and
 * whatever follows once 2,000 nodes are made, stay plain text.
 * @param {string} text
 * @returns {{blocks: Block[], omitted: number}} `omitted`: characters that were left out
 */
export function parseMarkdown(text) {
  const kept = text.slice(0, MAX_TEXT);
  const lines = kept.replace(/\r\n?/g, "\n").split("\n").map(expandTabs);
  return { blocks: parseBlocks(lines, 0, { left: MAX_NODES }), omitted: text.length - kept.length };
}

const expandTabs = (line) => line.replace(/^[ \t]+/, (indent) => indent.replace(/\t/g, "    "));
const isBlank = (line) => line.trim() === "";
const indentOf = (line) => /^ */.exec(line)[0].length;

function parseBlocks(lines, depth, budget) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (isBlank(lines[at])) {
      at++;
      continue;
    }
    if (--budget.left <= 0) {
      blocks.push({ type: "paragraph", inline: [{ type: "text", text: lines.slice(at).join("\n") }] });
      return blocks;
    }
    const [block, next] = blockAt(lines, at, depth, budget);
    blocks.push(block);
    at = next;
  }
  return blocks;
}

/** The block that begins at lines[at], and the index of the line after it. */
function blockAt(lines, at, depth, budget) {
  const line = lines[at];
  const nested = depth < MAX_NESTING;
  if (FENCE.test(line)) return fencedCode(lines, at);
  if (HEADING.test(line)) return heading(line, at, budget);
  if (RULE.test(line)) return [{ type: "rule" }, at + 1];
  if (nested && QUOTE.test(line)) return quote(lines, at, depth, budget);
  if (nested && ITEM.test(line)) return list(lines, at, depth, budget);
  if (indentOf(line) >= 4) return indentedCode(lines, at);
  if (startsTable(lines, at)) return table(lines, at, budget);
  return paragraph(lines, at, budget);
}

function heading(line, at, budget) {
  const [, marks, text = ""] = HEADING.exec(line);
  const bare = text.replace(/(^|[ \t]+)#+$/, "").trim();
  return [{ type: "heading", level: marks.length, inline: parseInline(bare, budget) }, at + 1];
}

function fencedCode(lines, at) {
  const [, indent, fence, language] = FENCE.exec(lines[at]);
  const closing = new RegExp("^ {0,3}\\" + fence[0] + "{" + fence.length + ",}[ \\t]*$");
  const text = [];
  let next = at + 1;
  while (next < lines.length && !closing.test(lines[next])) text.push(dedent(lines[next++], indent.length));
  return [{ type: "code", language: language.slice(0, 40), text: text.join("\n") }, next + 1];
}

const dedent = (line, size) => line.slice(Math.min(size, indentOf(line)));

function indentedCode(lines, at) {
  const text = [];
  let next = at;
  while (next < lines.length && (isBlank(lines[next]) || indentOf(lines[next]) >= 4))
    text.push(lines[next++].slice(4));
  return [{ type: "code", language: "", text: text.join("\n").trimEnd() }, next];
}

function quote(lines, at, depth, budget) {
  const inner = [];
  let next = at,
    inCode = false;
  for (; next < lines.length; next++) {
    if (QUOTE.test(lines[next])) {
      inner.push(lines[next].replace(QUOTE, ""));
      if (FENCE.test(inner.at(-1))) inCode = !inCode;
    } else if (!inCode && continuesLazily(inner, lines[next])) inner.push(lines[next]);
    else break;
  }
  return [{ type: "quote", blocks: parseBlocks(inner, depth + 1, budget) }, next];
}

/** Whether a line without its container's mark still belongs to the paragraph before it (CommonMark 5.1). */
const continuesLazily = (inner, line) =>
  endsInText(inner.at(-1) ?? "") && !isBlank(line) && !interrupts(line) && !ITEM.test(line) && !UNDERLINE.test(line);

/** Whether a line, without the marks of the lists and quotes in it, is text that a paragraph could hold. */
function endsInText(line) {
  let rest = line;
  for (let depth = 0; depth <= MAX_NESTING; depth++) {
    if (isBlank(rest) || FENCE.test(rest) || HEADING.test(rest) || RULE.test(rest) || indentOf(rest) >= 4)
      return false;
    const mark = QUOTE.exec(rest) ?? ITEM.exec(rest);
    if (!mark) return true;
    rest = rest.slice(mark[0].length);
  }
  return true;
}

function interrupts(line) {
  const item = ITEM.exec(line);
  if (item && line.length > item[0].length && (!/\d/.test(item[2]) || /^1[.)]$/.test(item[2]))) return true;
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line);
}

function list(lines, at, depth, budget) {
  const marker = ITEM.exec(lines[at])[2];
  const ordered = /\d/.test(marker),
    kind = marker.at(-1);
  const result = { type: "list", ordered, start: ordered ? parseInt(marker, 10) : 1, tight: true, items: [] };
  let next = at;
  while (next < lines.length && budget.left > 0) {
    const match = ITEM.exec(lines[next]);
    if (!match || match[2].at(-1) !== kind || RULE.test(lines[next])) break;
    const [inner, after, loose] = itemLines(lines, next, match);
    result.items.push(item(inner, depth, budget));
    next = after;
    while (next < lines.length && isBlank(lines[next])) next++;
    const goesOn = next < lines.length && ITEM.exec(lines[next])?.[2].at(-1) === kind;
    if (loose || (goesOn && next > after)) result.tight = false;
  }
  return [result, next];
}

/** The lines of one list item without their indent, the line after it, and whether blank lines divide its blocks. */
function itemLines(lines, at, match) {
  const spaces = match[3].length >= 1 && match[3].length <= 4 ? match[3].length : 1;
  const width = match[1].length + match[2].length + spaces;
  const inner = [lines[at].slice(width)];
  let next = at + 1,
    loose = false;
  for (; next < lines.length; next++) {
    if (isBlank(lines[next])) {
      if (inner.length === 1 && isBlank(inner[0])) break; // an empty item ends with the first blank line
      inner.push("");
    } else if (indentOf(lines[next]) >= width) {
      if (inner.at(-1) === "" && inner.length > 1) loose = true;
      inner.push(lines[next].slice(width));
    } else if (continuesLazily(inner, lines[next])) inner.push(lines[next].trimStart());
    else break;
  }
  let end = next;
  while (inner.length > 1 && inner.at(-1) === "") {
    inner.pop();
    end--;
  }
  return [inner, end, loose];
}

function item(inner, depth, budget) {
  const task = TASK.exec(inner[0]);
  const rest = task ? [inner[0].slice(task[0].length), ...inner.slice(1)] : inner;
  return { task: task ? task[1] !== " " : null, blocks: parseBlocks(rest, depth + 1, budget) };
}

const startsTable = (lines, at) =>
  lines[at].includes("|") &&
  DELIMITERS.test(lines[at + 1] ?? "") &&
  cells(lines[at]).length === cells(lines[at + 1]).length;

function cells(line) {
  const bare = line
    .trim()
    .replace(/^\|/, "")
    .replace(/(^|[^\\])\|$/, "$1");
  return bare
    .split(/(?<!\\)\|/)
    .slice(0, MAX_COLUMNS)
    .map((cell) => cell.trim().replace(/\\\|/g, "|"));
}

function table(lines, at, budget) {
  const head = cells(lines[at]);
  const align = cells(lines[at + 1]).map((cell) => {
    const [left, right] = [cell.startsWith(":"), cell.endsWith(":")];
    return left && right ? "center" : right ? "right" : left ? "left" : "";
  });
  const inlineRow = (row) => head.map((_, column) => (budget.left--, parseInline(row[column] ?? "", budget)));
  const result = { type: "table", align, head: inlineRow(head), rows: [] };
  let next = at + 2;
  while (next < lines.length && !isBlank(lines[next]) && !interrupts(lines[next]) && budget.left > 0) {
    result.rows.push(inlineRow(cells(lines[next++])));
  }
  return [result, next];
}

function paragraph(lines, at, budget) {
  const text = [lines[at].trimStart()];
  let next = at + 1;
  for (; next < lines.length && !isBlank(lines[next]); next++) {
    const underline = UNDERLINE.exec(lines[next]);
    if (underline) {
      const level = underline[1][0] === "=" ? 1 : 2;
      return [{ type: "heading", level, inline: parseInline(text.join("\n").trim(), budget) }, next + 1];
    }
    if (interrupts(lines[next]) || startsTable(lines, next)) break;
    text.push(lines[next].trimStart());
  }
  return [{ type: "paragraph", inline: parseInline(text.join("\n").trimEnd(), budget) }, next];
}
