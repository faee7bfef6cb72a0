import assert from "node:assert/strict";
import { test } from "node:test";

import { firstLine, isolate, lineCount, relativePath, terminalText, visible, webAddress } from "../../claude_mpm/page/text/text.js";

test("control, invisible and bidi characters are named, so that no text hides or reorders its neighbours", () => {
  assert.equal(visible("abc\u202egnp.exe"), "abc⟨RLO⟩gnp.exe");
  assert.equal(visible("a\u200bb\u2066c\u00add\u{e0041}e\ufefff\u{e0100}"), "a⟨ZWSP⟩b⟨LRI⟩c⟨SHY⟩d⟨U+E0041⟩e⟨BOM⟩f⟨U+E0100⟩");
  assert.equal(visible("\x07\x00"), "␇␀");
  assert.equal(visible("tab\tand\nnewline\r\n"), "tab\tand\nnewline\n");
});

test("scripts and emoji that need joiners stay as they are", () => {
  for (const text of ["👩‍💻 ❤️", "می‌خواهم", "日本語 café e\u0301", "עברית"]) assert.equal(visible(text), text);
});

test("terminal escapes are removed, whatever they do and wherever they end", () => {
  assert.equal(visible("\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link\x1b]8;;\x1b\\ \x1b]52;c;ZXZpbA=="), "red link ");
  assert.equal(visible("\x1bPq#0\x1b\\x\x9b1my"), "xy");
});

test("an isolated text cannot close its own isolation", () => {
  assert.equal(isolate("a\u2069b"), "\u2068a⟨PDI⟩b\u2069");
});

test("of a line that was overwritten only the last state remains", () => {
  assert.equal(terminalText("10%\r50%\r100%\r\ndone\r\n"), "100%\ndone\n");
  assert.equal(terminalText("\x1b[2K10%\r"), "10%");
});

test("lines are counted and the first one with words is found", () => {
  assert.deepEqual(["", "a", "a\n", "a\nb", "\n\n"].map(lineCount), [0, 1, 1, 2, 2]);
  assert.equal(firstLine("\n \n  one  \ntwo"), "one");
  assert.equal(firstLine("x".repeat(300)).length, 201);
});

test("a path is shortened only when it is inside the working directory", () => {
  assert.equal(relativePath("/home/u/src/a.py", "/home/u/"), "src/a.py");
  assert.equal(relativePath("/home/user/a.py", "/home/u"), "/home/user/a.py");
  assert.equal(relativePath("C:\\w\\a.py", "C:\\w"), "a.py");
  assert.equal(relativePath("/home/u", "/home/u"), ".");
  assert.equal(relativePath("/a", undefined), "/a");
});

test("only absolute http and https addresses are addresses", () => {
  assert.equal(webAddress("https://example.org/a?b#c").host, "example.org");
  for (const address of ["javascript:alert(1)", "JAVASCRIPT:x", "data:text/html,x", "file:///etc", "//x.y", "/a", "x.y", "http://", "https:// x",
    "http://a\tb", "\x01https://x.y", "https://" + "a".repeat(2001)]) {
    assert.equal(webAddress(address), null, address);
  }
});
