import assert from "node:assert/strict";
import { test } from "node:test";

import { flatText } from "../../claude_mpm/page/text/emphasis.js";
import { parseMarkdown } from "../../claude_mpm/page/text/markdown.js";
import { EVIL, JUNK, MESSAGE } from "./work_story.mjs";

const TAGS = { strong: "b", emphasis: "i", strike: "s" };

/** A compact form of inline nodes: <b>strong</b>, `code`, [label](address). */
const inline = (nodes) => nodes.map((node) => {
  if (node.type === "text") return node.text;
  if (node.type === "code") return "`" + node.text + "`";
  if (node.type === "break") return "<br>";
  if (node.type === "link") return (node.image ? "!" : "") + "[" + inline(node.children) + "](" + node.href + ")";
  return `<${TAGS[node.type]}>${inline(node.children)}</${TAGS[node.type]}>`;
}).join("");

/** A compact form of blocks, one string or array each. */
const blocks = (text) => parseMarkdown(text).blocks.map(block);
const block = (one) => {
  if (one.type === "paragraph") return inline(one.inline);
  if (one.type === "heading") return "h" + one.level + " " + inline(one.inline);
  if (one.type === "code") return "code " + one.language + "|" + one.text;
  if (one.type === "rule") return "rule";
  if (one.type === "quote") return ["quote", ...one.blocks.map(block)];
  if (one.type === "table") return ["table", one.align, one.head.map(inline), ...one.rows.map((row) => row.map(inline))];
  const mark = (item) => (item.task === null ? "-" : item.task ? "[x]" : "[ ]");
  return [one.ordered ? "ol" + one.start : "ul", ...one.items.map((item) => [mark(item), ...item.blocks.map(block)])];
};

const paragraphs = new Map([
  ["*a* _b_ **c** __d__ ***e*** ~~f~~", "<i>a</i> <i>b</i> <b>c</b> <b>d</b> <i><b>e</b></i> <s>f</s>"],
  ["snake_case_name and 2*3*4 and ~5", "snake_case_name and 2<i>3</i>4 and ~5"],
  ["**bold *and italic* again**", "<b>bold <i>and italic</i> again</b>"],
  ["**foo*", "*<i>foo</i>"], ["*foo**bar*", "<i>foo**bar</i>"], ["_(*a*)_", "<i>(<i>a</i>)</i>"],
  ["** not bold **", "** not bold **"],
  ["`a * b` ``x ` y`` `open", "`a * b` `x ` y` `open"],
  ["\\*not\\* \\_emphasis\\_", "*not* _emphasis_"],
  ["[a](https://x.y/z \"title\") [b](<https://x.y>)", "[a](https://x.y/z) [b](https://x.y)"],
  ["[w](https://en.wikipedia.org/wiki/A_(b))", "[w](https://en.wikipedia.org/wiki/A_(b))"],
  ["[**bold** label](http://x.y)", "[<b>bold</b> label](http://x.y)"],
  ["see https://x.y/a_b_c. And (https://x.y/(z))", "see [https://x.y/a_b_c](https://x.y/a_b_c). And ([https://x.y/(z)](https://x.y/(z)))"],
  ["**https://x.y/a**", "<b>[https://x.y/a](https://x.y/a)</b>"],
  ["<https://x.y/a>", "[https://x.y/a](https://x.y/a)"],
  ["![alt](https://x.y/p.png)", "![alt](https://x.y/p.png)"],
  ["a  \nb\\\nc\nd", "a<br>b<br>c\nd"],
  ["a &amp; b &lt;i&gt; &copy;", "a & b <i> &copy;"],
  ["<b>html</b> <script>x</script>", "<b>html</b> <script>x</script>"],
]);

test("inline marks are read as CommonMark reads them", () => {
  for (const [text, expected] of paragraphs) assert.deepEqual(blocks(text), [expected], text);
});

test("an address that is not http or https never becomes a link", () => {
  for (const text of ["[x](javascript:alert(1))", "[x](JaVaScRiPt:1)", "[x](data:text/html,y)", "![x](file:///a)", "[x](/relative)", "[x]( javascript:1)",
    "<javascript:x>", "[x](\thttps//y)", "[x][ref]\n\n[ref]: javascript:x"]) {
    assert.equal(JSON.stringify(parseMarkdown(text).blocks).includes('"link"'), false, text);
  }
});

test("blocks: headings, rules, quotes, code, setext", () => {
  assert.deepEqual(blocks("# A\n## B ##\n####### no\n#no"), ["h1 A", "h2 B", "####### no\n#no"]);
  assert.deepEqual(blocks("Title\n=====\nother\n---\n\n---\n***"), ["h1 Title", "h2 other", "rule", "rule"]);
  assert.deepEqual(blocks("> a\nlazy\n> > b\n\nc"), [["quote", "a\nlazy", ["quote", "b"]], "c"]);
  assert.deepEqual(blocks("```py\n# x\n  y\n```\nafter"), ["code py|# x\n  y", "after"]);
  assert.deepEqual(blocks("~~~\n```\n~~~"), ["code |```"]);
  assert.deepEqual(blocks("```\nnever closed\n\n# x"), ["code |never closed\n\n# x"]);
  assert.deepEqual(blocks("    indented\n\n    code\n\ntext"), ["code |indented\n\ncode", "text"]);
});

test("lists: nested, ordered with a start, tasks, tight and loose, code inside", () => {
  assert.deepEqual(blocks("- a\n  - b\n    - c\n- d"), [["ul", ["-", "a", ["ul", ["-", "b", ["ul", ["-", "c"]]]]], ["-", "d"]]]);
  assert.deepEqual(blocks("3. a\n4. b\n\ntext"), [["ol3", ["-", "a"], ["-", "b"]], "text"]);
  assert.deepEqual(blocks("- [x] a\n- [ ] b\n- c"), [["ul", ["[x]", "a"], ["[ ]", "b"], ["-", "c"]]]);
  assert.deepEqual(blocks("1. a\n\n   ```\n   x\n   ```\n2. b"), [["ol1", ["-", "a", "code |x"], ["-", "b"]]]);
  assert.deepEqual(["- a\n- b", "- a\n\n- b"].map((text) => parseMarkdown(text).blocks[0].tight), [true, false]);
  assert.deepEqual(blocks("text\n2024. was a year\n- item"), ["text\n2024. was a year", ["ul", ["-", "item"]]]);
});

test("tables: alignment, escaped bars, missing and surplus cells", () => {
  assert.deepEqual(blocks("| a | b |\n|:--|--:|\n| 1 | x \\| y |\n| 2 |\n| 3 | 4 | 5 |\n\nafter"),
    [["table", ["left", "right"], ["a", "b"], ["1", "x | y"], ["2", ""], ["3", "4"]], "after"]);
  assert.deepEqual(blocks("a | b\nno table"), ["a | b\nno table"]);
});

test("a whole message keeps every word", () => {
  const types = parseMarkdown(MESSAGE).blocks.map((one) => one.type);
  assert.deepEqual(types, ["heading", "paragraph", "list", "list", "table", "quote", "code"]);
});

test("hostile text becomes text: no input throws, and the tree is bounded", () => {
  const size = (node) => {
    const pending = [node];
    let count = 0;
    while (pending.length) {
      const next = pending.pop();
      if (!next || typeof next !== "object") continue;
      if (next.type) count++;
      pending.push(...Object.values(next));
    }
    return count;
  };
  const texts = [EVIL, "*a **b ".repeat(9000), "[".repeat(65536), "[a](".repeat(16000), "![".repeat(30000), ">".repeat(65536), "> ".repeat(30000) + "x",
    "- ".repeat(30000) + "x", "1. ".repeat(20000), "_a_".repeat(20000), "a**".repeat(20000) + "*b".repeat(3000), "a\n".repeat(32000), "&".repeat(65536),
    "http://".repeat(9000), "`".repeat(60000) + " a", "`a``".repeat(15000), "- a\n" + " ".repeat(60000) + "x", "# a" + " #".repeat(30000) + "x",
    "a|b\n" + "-|".repeat(32000) + "x", ("|x".repeat(50) + "\n").repeat(600), "***".repeat(20000), "\n".repeat(65000), "***a".repeat(10000) + "a***".repeat(6000),
    "|a".repeat(50) + "\n" + "|-".repeat(50) + "\n" + ("|*x*".repeat(50) + "\n").repeat(300), "- a\n\n".repeat(13000), "\\".repeat(65000)];
  for (const text of texts) assert.ok(size(parseMarkdown(text).blocks) < 10000, text.slice(0, 20));
  for (const junk of JUNK.filter((value) => typeof value === "string")) parseMarkdown(junk);
});

test("nesting ends at eight, the rest is text", () => {
  const depth = (list) => 1 + Math.max(0, ...list.filter((one) => one.blocks).map((one) => depth(one.blocks)));
  assert.equal(depth(parseMarkdown("> ".repeat(30) + "deep").blocks), 9);
  const [text] = parseMarkdown("*a ".repeat(40) + "x" + "*".repeat(40)).blocks;
  assert.equal(flatText({ children: text.inline }).endsWith("x"), true);
});

test("what is beyond 64 Ki characters is counted, not shown", () => {
  assert.equal(parseMarkdown("a".repeat(70000)).omitted, 70000 - 65536);
});
