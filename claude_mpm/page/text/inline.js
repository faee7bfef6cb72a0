// Inline Markdown: emphasis, code, links. Pure: text in, a tree out. The algorithm is CommonMark's delimiter stack
// (0.31, appendix "A parsing strategy"), which stays linear on hostile input.

import { resolve } from "./emphasis.js";
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
