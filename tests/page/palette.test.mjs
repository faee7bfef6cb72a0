import assert from "node:assert/strict";
import { test } from "node:test";
import { search } from "../../claude_mpm/page/palette.js";

const ITEMS = ["Show conversation", "Show changes", "Go to session shop · main", "Copy link", "Toggle theme"]
  .map((label) => ({ label }));
const labels = (query, items = ITEMS) => search(query, items).map(({ item }) => item.label);

test("an empty query lists everything in its own order", () => {
  assert.deepEqual(labels("  "), ITEMS.map((item) => item.label));
});

test("letters match in order, in any case, across words", () => {
  assert.deepEqual(labels("SHCO"), ["Show conversation"]);
  assert.deepEqual(labels("show ch"), ["Show changes"]);
  assert.deepEqual(labels("zzz"), []);
});

test("starts of words win over letters in the middle", () => {
  assert.equal(labels("sc", [{ label: "discover" }, { label: "Show conversation" }])[0], "Show conversation");
  assert.equal(labels("link")[0], "Copy link");
  assert.equal(labels("th", [{ label: "With a hat" }, { label: "Toggle theme" }])[0], "Toggle theme");
});

test("what matched is told by index", () => {
  const [{ at }] = search("cl", ITEMS.slice(3, 4));
  assert.deepEqual(at, [0, 5]);
});

test("preferring the start of a word never hides a match", () => {
  assert.deepEqual(labels("abcd", [{ label: "axbcd b" }]), ["axbcd b"]);
});

test("letters whose lower case is longer do not shift what is marked", () => {
  const [{ at }] = search("x", [{ label: "İİx" }]);
  assert.deepEqual(at, [2]);
});

test("thousands of long labels are searched, fifty are returned", () => {
  const many = Array.from({ length: 5000 }, (_, i) => ({ label: `session ${i} ${"a".repeat(5000)}` }));
  assert.equal(search("sa", many).length, 50);
});
