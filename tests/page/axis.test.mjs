import assert from "node:assert/strict";
import { test } from "node:test";
import { inside, pan, ticks, timeAt, whole, xOf, zoom } from "../../claude_mpm/page/axis.js";

const BOUNDS = { from: 0, to: 3_600_000 };
const UTC = () => 0;
const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-6, `${a} is not ${b}`);

test("the time under the pointer stays there while zooming", () => {
  const view = zoom(BOUNDS, 900_000, 0.5, BOUNDS);
  near(xOf(view, 1000, 900_000), xOf(BOUNDS, 1000, 900_000));
  near(view.to - view.from, 1_800_000);
  near(timeAt(view, 1000, 250), 900_000);
});

test("zooming stops at half a second and at the whole session", () => {
  let view = BOUNDS;
  for (let i = 0; i < 50; i++) view = zoom(view, 1_000_000, 0.5, BOUNDS);
  near(view.to - view.from, 500);
  for (let i = 0; i < 50; i++) view = zoom(view, 1_000_000, 2, BOUNDS);
  assert.deepEqual(view, BOUNDS);
});

test("panning leaves no more than a margin empty", () => {
  const view = { from: 1_000_000, to: 1_100_000 };
  assert.deepEqual(pan(view, -1e12, BOUNDS), { from: -4000, to: 96_000 });
  near(pan(view, 1e12, BOUNDS).to, 3_604_000);
  assert.deepEqual(inside({ from: -5, to: 9e9 }, BOUNDS), BOUNDS);
});

test("a session that has only begun still has a width", () => {
  assert.deepEqual(whole({ from: 5, to: 5 }), { from: 5, to: 505 });
});

test("ticks are round, fit their labels and name what changes between them", () => {
  const nine = Date.UTC(2026, 2, 1, 9);
  const labels = (span, width) => ticks({ from: nine, to: nine + span }, width, UTC).map((each) => each.label);
  assert.deepEqual(labels(3_600_000, 400), ["09:00", "09:15", "09:30", "09:45", "10:00"]);
  assert.deepEqual(labels(60_000, 320), ["09:00:00", "09:00:15", "09:00:30", "09:00:45", "09:01:00"]);
  assert.deepEqual(labels(500, 240), ["09:00:00.0", "09:00:00.2", "09:00:00.4"]);
  assert.deepEqual(labels(86_400_000, 160), ["12:00", "2026-03-02"]);
});

test("ticks are round in local time", () => {
  const from = Date.UTC(2026, 2, 1, 9);
  const india = ticks({ from, to: from + 7_200_000 }, 240, () => -330);
  assert.deepEqual(india.map((each) => each.label), ["15:00", "16:00"]);
  assert.equal(india[0].at, from + 1_800_000);
});

test("there are never more ticks than there is room for", () => {
  for (let span = 500; span < 1e12; span *= 1.7) assert.ok(ticks({ from: 0, to: span }, 800, UTC).length <= 12);
});
