import assert from "node:assert/strict";
import { test } from "node:test";

import { diffLines, toLines } from "../../claude_mpm/page/tools/diff.js";

const SIGNS = { same: " ", added: "+", removed: "-" };
const lines = (diff) => diff.rows.map((row) =>
  row.count ? row.kind + " " + row.count : SIGNS[row.kind] + row.pieces.map(({ text, changed }) => (changed ? `[${text}]` : text)).join(""));

test("a changed line is shown as removed and added, with the changed words marked", () => {
  const diff = diffLines('WORD = re.compile(r"[a-z]+")', 'WORD = re.compile(r"\\w+", re.UNICODE)');
  assert.deepEqual(lines(diff), ['-WORD = re.compile(r"[[a-z]]+")', '+WORD = re.compile(r"[\\w]+"[, re.UNICODE])']);
  assert.deepEqual([diff.added, diff.removed], [1, 1]);
});

test("lines with hardly anything in common get no marks", () => {
  assert.deepEqual(lines(diffLines("return None", "while queue: work()")), ["-return None", "+while queue: work()"]);
});

test("line numbers run apart in the old and the new text, and are absent where unknown", () => {
  const numbers = (diff) => diff.rows.map((row) => [row.oldNumber, row.newNumber]);
  assert.deepEqual(numbers(diffLines("a\nb\nc", "a\nx\ny\nc", { firstLine: 10 })), [[10, 10], [11, null], [null, 11], [null, 12], [12, 13]]);
  assert.deepEqual(numbers(diffLines("a", "b")), [[null, null], [null, null]]);
});

test("long stretches of unchanged lines become a gap", () => {
  const text = [..."abcdefghijklmnop"].join("\n");
  assert.deepEqual(lines(diffLines(text, text.replace("h", "H"))), ["gap 4", " e", " f", " g", "-h", "+H", " i", " j", " k", "gap 5"]);
});

test("a long diff is cut with a row that says how much is missing; the counts stay whole", () => {
  const diff = diffLines("", "x\n".repeat(1000), { maxRows: 10 });
  assert.deepEqual(lines(diff).slice(-1), ["cut 990"]);
  assert.equal(diff.added, 1000);
});

test("a new file is all added, a final newline is no line, and CRLF ends a line as LF does", () => {
  assert.deepEqual(lines(diffLines("", "a\nb\n")), ["+a", "+b"]);
  assert.deepEqual(toLines("a\r\nb\r\n"), ["a", "b"]);
  assert.deepEqual(diffLines("a\n", "a\r\n").rows, [{ kind: "gap", count: 1 }]);
  assert.deepEqual(diffLines("", "").rows, []);
});

test("the script is the shortest, and rebuilds both texts", () => {
  let seed = 7;
  const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
  const some = () => Array.from({ length: Math.floor(random() * 7) }, () => "abcd"[Math.floor(random() * 4)]);
  for (let round = 0; round < 1500; round++) {
    const a = some(), b = some(), diff = diffLines(a.join("\n"), b.join("\n"));
    const side = (skipped) => diff.rows.filter((row) => row.kind !== skipped).map((row) => row.pieces.map((piece) => piece.text).join(""));
    if (diff.rows.some((row) => row.count)) continue; // folded
    assert.deepEqual([side("added"), side("removed")], [a, b]);
    assert.equal(diff.added + diff.removed, a.length + b.length - 2 * common(a, b));
  }
});

function common(a, b) {
  const table = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
  for (let x = a.length - 1; x >= 0; x--) for (let y = b.length - 1; y >= 0; y--) {
    table[x][y] = a[x] === b[y] ? table[x + 1][y + 1] + 1 : Math.max(table[x + 1][y], table[x][y + 1]);
  }
  return table[0][0];
}

test("texts with nothing in common and very long lines stay bounded", () => {
  const numbers = (sign) => Array.from({ length: 16000 }, (_, at) => sign + at).join("\n");
  assert.equal(diffLines(numbers("a"), numbers("b")).rows.length, 401);
  const long = diffLines("a ".repeat(8000), "b ".repeat(8000));
  assert.ok(long.rows.every((row) => row.pieces[0].text.length <= 1001));
});
