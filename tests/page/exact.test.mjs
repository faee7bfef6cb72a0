import assert from "node:assert/strict";
import test from "node:test";

import { exact, exactFields, questionsOf, secondsUntil } from "../../claude_mpm/page/tools/exact.js";

test("nothing that cannot be seen is hidden or dropped", () => {
  assert.equal(exact("rm \u202e\u200b-r \x1b[2J\x07x"), "rm ⟨U+202E⟩⟨U+200B⟩-r ⟨U+001B⟩[2J⟨U+0007⟩x");
  assert.equal(exact("a\u00a0b\u3000c\u{e0041}d\ud800"), "a⟨U+00A0⟩b⟨U+3000⟩c⟨U+E0041⟩d⟨U+D800⟩");
  assert.equal(exact("two\nlines\tand é 宽 😀"), "two\nlines\tand é 宽 😀");
  assert.equal(exact("a\rb"), "a⟨U+000D⟩b");
});

test("a whole input is shown, however long", () => {
  const fields = exactFields({ command: "x".repeat(200_000), "na\u202eme": { deep: [1] } });
  assert.equal(fields[0].text.length, 200_000);
  assert.equal(fields[1].name, "na⟨U+202E⟩me");
  assert.match(fields[1].text, /"deep"/);
  for (const odd of [null, undefined, 3, "text", []]) assert.equal(exactFields(odd).length, 1);
});

test("questions of any other form are none", () => {
  for (const odd of [null, {}, { questions: 3 }, { questions: [null, {}, { question: 1 }, { question: "" }] }])
    assert.deepEqual(questionsOf(odd), []);
  const [one] = questionsOf({ questions: [{ question: "Which?", multiSelect: true, options: [{ label: "S" }, null] }] });
  assert.deepEqual(one, { key: "Which?", header: "", several: true, options: [{ label: "S", description: "" }] });
});

test("the countdown ends at zero", () => {
  assert.equal(secondsUntil("1970-01-01T00:00:20.000Z", 500), 20);
  assert.equal(secondsUntil("1970-01-01T00:00:20.000Z", 50_000), 0);
  assert.equal(secondsUntil(undefined, 0), null);
});
