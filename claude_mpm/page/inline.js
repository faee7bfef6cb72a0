// Inline Markdown: emphasis, code, links. Pure: text in, a tree out. The algorithm is CommonMark's delimiter stack
// (0.31, appendix "A parsing strategy"), which stays linear on hostile input.

import { webAddress } from "./text.js";

const PUNCTUATION = /[\p{P}\p{S}]/u;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const ENTITIES = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["#39", "'"],
  ["nbsp", "\u00a0"],
]);
const BARE_ADDRESS = /https?:\/\/[^\s<>"`\]*]{1,2000}/iy;
const TARGET = /^\(\s*(?:<([^<>\n]*)>|([^\s<>()]*))(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/; // with a title, or in <>
const MAX_NESTING = 8; // of emphasis and links within each other

/**
 * @typedef {{type: "text"|"code", text: string} | {type: "break"}
 *   | {type: "strong"|"emphasis"|"strike", children: Inline[]}
 *   | {type: "link", href: string, image: boolean, children: Inline[]}} Inline
 */

/**
 * Parse one paragraph's text. Links are http and https only; any other address leaves its source as text. A newline
 * stays in the text (Claude Code shows it as one); two spaces or a backslash before it make a "break".
 * @param {string} text
 * @param {{left: number}} budget how many nodes may still be made; once it is spent the rest stays plain text
 * @returns {Inline[]}
 */
export function parseInline(text, budget) {
  const scanner = new Scanner(text, budget);
  scanner.run();
  return scanner.tree();
}

class Scanner {
  constructor(text, budget) {
    this.text = text;
    this.budget = budget;
    this.at = 0;
    this.tokens = []; // Inline nodes, and delimiter runs {run, count, opens, closes, before, after}
    this.brackets = []; // open "[": {index into tokens, at, image}
    this.ticks = null; // length of a backtick run -> its positions, made on the first one
  }

  run() {
    const special = /[\\`*_~[\]!<&\nhH]/g;
    while (this.at < this.text.length) {
      if (this.budget.left <= 0) return this.literal(this.text.length);
      special.lastIndex = this.at;
      const next = special.exec(this.text)?.index ?? this.text.length;
      if (next > this.at) this.literal(next);
      if (next < this.text.length) this.special(this.text[next]);
    }
  }

  literal(end) {
    this.word(this.text.slice(this.at, end));
    this.at = end;
  }

  word(text) {
    const last = this.tokens.at(-1);
    if (last?.type === "text") last.text += text;
    else this.push({ type: "text", text });
  }

  push(token) {
    this.budget.left--;
    this.tokens.push(token);
  }

  special(character) {
    const handled = {
      "\\": this.escape,
      "`": this.code,
      "*": this.delimiters,
      _: this.delimiters,
      "~": this.delimiters,
      "[": this.open,
      "!": this.open,
      "]": this.close,
      "<": this.angle,
      "&": this.entity,
      "\n": this.newline,
      h: this.bare,
      H: this.bare,
    }[character].call(this, character);
    if (!handled) this.literal(this.at + 1);
  }

  escape() {
    const next = this.text[this.at + 1] ?? "";
    if (next === "\n") this.push({ type: "break" });
    else if (ESCAPABLE.test(next)) this.word(next);
    else return false;
    this.at += 2;
    return true;
  }

  newline() {
    const last = this.tokens.at(-1);
    const hard = this.text.slice(Math.max(0, this.at - 2), this.at) === "  ";
    if (last?.type === "text" && this.text[this.at - 1] === " ") last.text = last.text.trimEnd();
    if (hard) this.push({ type: "break" });
    else this.word("\n");
    this.at += 1 + /^ */.exec(this.text.slice(this.at + 1, this.at + 1000))[0].length;
    return true;
  }

  code() {
    const length = /^`+/.exec(this.text.slice(this.at))[0].length;
    const end = this.closingTicks(length);
    if (end < 0) {
      this.literal(this.at + length);
      return true;
    }
    let inner = this.text.slice(this.at + length, end).replace(/\n/g, " ");
    if (inner.startsWith(" ") && inner.endsWith(" ") && inner.trim()) inner = inner.slice(1, -1);
    this.push({ type: "code", text: inner });
    this.at = end + length;
    return true;
  }

  closingTicks(length) {
    if (!this.ticks) {
      this.ticks = new Map();
      for (const run of this.text.matchAll(/`+/g)) {
        if (!this.ticks.has(run[0].length)) this.ticks.set(run[0].length, { positions: [], next: 0 });
        this.ticks.get(run[0].length).positions.push(run.index);
      }
    }
    const runs = this.ticks.get(length);
    while (runs && runs.next < runs.positions.length && runs.positions[runs.next] < this.at + length) runs.next++;
    return runs?.positions[runs.next] ?? -1;
  }

  delimiters(character) {
    let end = this.at;
    while (this.text[end] === character) end++;
    const count = end - this.at;
    if (character === "~" && count !== 2) return false; // strikethrough is ~~ here: a single ~ means "about" or home
    const before = before1(this.text, this.at),
      after = String.fromCodePoint(this.text.codePointAt(end) ?? 32);
    const left = flanks(after, before),
      right = flanks(before, after);
    const opens = character === "_" ? left && (!right || PUNCTUATION.test(before)) : left;
    const closes = character === "_" ? right && (!left || PUNCTUATION.test(after)) : right;
    this.push({ run: character, count, original: count, opens, closes });
    this.at = end;
    return true;
  }

  open(character) {
    const image = character === "!";
    if (image && this.text[this.at + 1] !== "[") return false;
    this.brackets.push({ index: this.tokens.length, image });
    this.push({ type: "text", text: image ? "![" : "[" });
    this.push({ type: "text", text: "" }); // keeps the bracket apart from the label's text
    this.at += image ? 2 : 1;
    return true;
  }

  close() {
    const bracket = this.brackets.pop();
    const target =
      bracket && (balanced(this.text, this.at + 1) ?? TARGET.exec(this.text.slice(this.at + 1, this.at + 2300)));
    const address = target && (target[1] ?? target[2]);
    if (!target || !webAddress(address)) return false;
    const label = this.tokens.splice(bracket.index).slice(1);
    const children = resolve(label);
    this.push({ type: "link", href: address, image: bracket.image, children });
    if (!bracket.image) this.brackets = []; // links contain no links
    this.at += 1 + target[0].length;
    return true;
  }

  angle() {
    const match = /^<(https?:\/\/[^\s<>]{1,2000})>/i.exec(this.text.slice(this.at, this.at + 2010));
    return Boolean(match) && this.address(match[1], match[0].length);
  }

  bare() {
    if (/[\p{L}\p{N}_]/u.test(before1(this.text, this.at))) return false;
    BARE_ADDRESS.lastIndex = this.at;
    const match = BARE_ADDRESS.exec(this.text);
    if (!match) return false;
    let address = match[0].replace(/[.,:;!?'_~]+$/, "");
    while (address.endsWith(")") && count(address, ")") > count(address, "(")) address = address.slice(0, -1);
    return this.address(address.replace(/[.,:;!?'_~]+$/, ""));
  }

  address(address, length = address.length) {
    if (!webAddress(address)) return false;
    this.push({ type: "link", href: address, image: false, children: [{ type: "text", text: address }] });
    this.at += length;
    return true;
  }

  entity() {
    const match = /^&(amp|lt|gt|quot|#39|nbsp);/.exec(this.text.slice(this.at, this.at + 7));
    if (!match) return false;
    this.word(ENTITIES.get(match[1]));
    this.at += match[0].length;
    return true;
  }

  tree() {
    return resolve(this.tokens);
  }
}

const before1 = (text, at) =>
  at ? String.fromCodePoint(text.codePointAt(at - (/[\udc00-\udfff]/.test(text[at - 1]) && at > 1 ? 2 : 1))) : " ";
const count = (text, character) => text.split(character).length - 1;
/** Whether a delimiter run next to `inner` and away from `outer` flanks on the inner side (CommonMark 6.2). */
const flanks = (inner, outer) =>
  !/\s/.test(inner) && (!PUNCTUATION.test(inner) || /\s/.test(outer) || PUNCTUATION.test(outer));

/** A link destination with balanced parentheses, as in Wikipedia's addresses. */
function balanced(text, at) {
  if (text[at] !== "(") return null;
  for (let end = at + 1, depth = 1; end < text.length && end < at + 2000 && !/[\s<>]/.test(text[end]); end++) {
    depth += text[end] === "(" ? 1 : text[end] === ")" ? -1 : 0;
    if (depth === 0) return [text.slice(at, end + 1), undefined, text.slice(at + 1, end)];
  }
  return null;
}

const KINDS = { strong: 2, strike: 2, emphasis: 1 };

/** Match the delimiter runs of a token list and return the tree; runs without a partner become text. */
function resolve(tokens) {
  const stack = [{ run: null, children: [] }]; // open runs, each with what came after it
  const bottom = new Map(); // kind of closer -> height of the stack below which no opener matches (openers_bottom)
  for (const token of tokens) {
    if (!token.run) append(stack.at(-1).children, token);
    else {
      if (token.closes) closeRuns(stack, token, bottom);
      if (token.count && token.opens) stack.push({ run: token, children: [] });
      else if (token.count) append(stack.at(-1).children, { type: "text", text: token.run.repeat(token.count) });
    }
  }
  while (stack.length > 1) collapse(stack);
  return stack[0].children.map((node) => limited(node, 1));
}

function closeRuns(stack, closer, bottom) {
  const kind = closer.run + (closer.opens ? "o" : "c") + (closer.original % 3);
  while (closer.count) {
    let found = stack.length - 1;
    while (found > (bottom.get(kind) ?? 0) && !matches(stack[found].run, closer)) found--;
    if (found <= (bottom.get(kind) ?? 0)) {
      bottom.set(kind, stack.length - 1);
      return;
    }
    while (stack.length - 1 > found) collapse(stack);
    wrap(stack, closer);
    for (const [key, height] of bottom) if (height > stack.length - 1) bottom.set(key, stack.length - 1);
  }
}

function matches(opener, closer) {
  if (opener.run !== closer.run) return false;
  const ambiguous = (opener.closes || closer.opens) && (opener.original + closer.original) % 3 === 0;
  return !ambiguous || (opener.original % 3 === 0 && closer.original % 3 === 0);
}

function wrap(stack, closer) {
  const { run, children } = stack.pop();
  const type = closer.run === "~" ? "strike" : run.count > 1 && closer.count > 1 ? "strong" : "emphasis";
  run.count -= KINDS[type];
  closer.count -= KINDS[type];
  const node = { type, children };
  if (run.count) stack.push({ run, children: [node] });
  else append(stack.at(-1).children, node);
}

/** The innermost open run has no partner: it is text. */
function collapse(stack) {
  const { run, children } = stack.pop();
  const outer = stack.at(-1).children;
  append(outer, { type: "text", text: run.run.repeat(run.count) });
  for (const child of children) append(outer, child);
}

function append(nodes, node) {
  const last = nodes.at(-1);
  if (node.type === "text" && last?.type === "text")
    nodes[nodes.length - 1] = { type: "text", text: last.text + node.text };
  else if (node.type !== "text" || node.text) nodes.push(node);
}

function limited(node, depth) {
  if (!node.children) return node;
  if (depth >= MAX_NESTING) return { type: "text", text: flatText(node) };
  return { ...node, children: node.children.map((child) => limited(child, depth + 1)) };
}

/** The text of a node without its marks. Iterative: a hostile tree is as deep as the input is long. */
export function flatText(node) {
  const pending = [node];
  let text = "";
  while (pending.length) {
    const next = pending.pop();
    if (next.children) for (let at = next.children.length - 1; at >= 0; at--) pending.push(next.children[at]);
    else text += next.type === "break" ? "\n" : next.text;
  }
  return text;
}
