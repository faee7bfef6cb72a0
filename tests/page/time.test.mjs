import assert from "node:assert/strict";
import { test } from "node:test";
import { Cursor, EventLog } from "../../claude_mpm/page/time.js";
import { START, counting, event } from "./session.mjs";

function logOf(events, options) {
  const reducer = counting(), log = new EventLog(reducer, options);
  for (const each of events) log.push(each);
  return { log, work: reducer.work };
}
const tools = (count, gap = 1000) => Array.from({ length: count }, (_, i) => event(i + 1, i * gap, "tool.start"));

test("the state at any position is the fold of the events up to it", () => {
  const { log } = logOf(tools(57), { every: 10 });
  for (const position of [0, 1, 9, 10, 11, 56, 57, 3, 20, 55]) assert.equal(log.stateAt(position).seen, position);
  assert.equal(log.stateAt(999).seen, 57);
});

test("a jump folds no more events than lie between checkpoints", () => {
  const { log, work } = logOf(tools(5000), { every: 500 });
  work.applied = work.cloned = 0;
  log.stateAt(4999);
  assert.equal(work.cloned, 1);
  assert.equal(work.applied, 499);
});

test("going forward folds only what is new", () => {
  const { log, work } = logOf(tools(900), { every: 500 });
  log.stateAt(100);
  work.applied = work.cloned = 0;
  log.stateAt(130);
  assert.deepEqual([work.applied, work.cloned], [30, 0]);
});

test("a past state stays right while new events arrive", () => {
  const { log } = logOf(tools(20), { every: 10 });
  assert.equal(log.stateAt(15).seen, 15);
  log.push(event(21, 30000, "tool.end"));
  assert.equal(log.stateAt(15).seen, 15);
  assert.equal(log.live.seen, 21);
});

test("an event that is here already is refused, a gap without a seq is kept", () => {
  const { log } = logOf(tools(3));
  assert.equal(log.push(event(3, 9000, "tool.end")), false);
  assert.equal(log.push({ ...event(0, 9000, "system.gap"), seq: undefined }), true);
  assert.equal(log.push(event(4, 9500, "tool.end")), true);
  assert.equal(log.live.seen, 5);
  assert.equal(log.positionOf(3), 4);
});

test("a time is found even when timestamps run backwards or cannot be read", () => {
  const { log } = logOf([event(1, 0, "a"), event(2, 5000, "b"), event(3, 2000, "c"), event(4, 6000, "d")]);
  log.push({ ...event(5, 0, "e"), timestamp: "yesterday" });
  assert.equal(log.positionAt(START + 4999), 1);
  assert.equal(log.positionAt(START + 5000), 3);
  assert.equal(log.positionAt(START + 6000), 5);
  assert.equal(log.positionAt(START - 1), 0);
});

test("above its bound the log drops its oldest events and the rest stays right", () => {
  const { log } = logOf(tools(1000), { every: 10, maxChars: 20000 });
  assert.ok(log.first > 0 && log.first % 10 === 0);
  assert.ok(log.events().reduce((sum, each) => sum + JSON.stringify(each).length, 0) <= 21000);
  assert.equal(log.length, 1000);
  assert.equal(log.stateAt(0).seen, log.first);
  assert.equal(log.stateAt(995).seen, 995);
  assert.equal(log.positionOf(995), 995);
  assert.equal(log.neighbour(log.first, 1), log.first + 1);
});

test("checkpoints are thinned out, never without bound", () => {
  const { log, work } = logOf(tools(2000), { every: 5 });
  assert.ok(log._checkpoints.length <= 128);
  work.applied = 0;
  assert.equal(log.stateAt(1999).seen, 1999);
  assert.ok(work.applied < 40);
});

test("a step goes from one notable event to the next and ends live", () => {
  const types = ["session.start", "system.status", "claude.output", "tool.start", "claude.usage", "tool.end"];
  const { log } = logOf(types.map((type, i) => event(i + 1, i * 100, type)));
  const cursor = new Cursor(log), seen = [];
  for (let i = 0; i < 3; i++) { cursor.step(-1); seen.push(cursor.position); }
  assert.deepEqual(seen, [4, 1, 1]);
  cursor.step(1);
  cursor.step(1);
  assert.deepEqual([cursor.position, cursor.live], [6, false]);
  cursor.step(1);
  assert.equal(cursor.live, true);
});

test("prompts are jumped between, those of agents are not", () => {
  const say = (seq, role, more) => event(seq, seq * 100, "claude.message", { role, text: "x", ...more });
  const { log } = logOf([
    say(1, "user"), say(2, "assistant"), say(3, "user", { agent_id: "a" }), say(4, "user"), say(5, "assistant")]);
  const cursor = new Cursor(log);
  cursor.stepPrompt(-1);
  assert.equal(cursor.position, 4);
  cursor.stepPrompt(-1);
  assert.equal(cursor.position, 1);
  cursor.stepPrompt(1);
  assert.equal(cursor.position, 4);
  cursor.stepPrompt(1);
  assert.equal(cursor.live, true);
});

test("seeking shows that moment, null shows the present", () => {
  const { log } = logOf(tools(10));
  const cursor = new Cursor(log);
  cursor.seek(START + 4500);
  assert.deepEqual([cursor.position, cursor.at, cursor.state.seen], [5, START + 4500, 5]);
  cursor.seekSeq(7);
  assert.deepEqual([cursor.position, cursor.at], [7, START + 6000]);
  cursor.seek(null);
  assert.deepEqual([cursor.live, cursor.state.seen], [true, 10]);
});

test("playback runs by the caller's clock, at its speed, and ends live", () => {
  const { log } = logOf(tools(10));
  const cursor = new Cursor(log);
  cursor.play(4);
  assert.equal(cursor.tick(50000), false);
  cursor.tick(50250);
  assert.deepEqual([cursor.at, cursor.position], [START + 1000, 2]);
  cursor.tick(90000); // the tab slept
  assert.deepEqual([cursor.at, cursor.position], [START + 2000, 3]);
  for (let now = 90000; cursor.playing; now += 250) cursor.tick(now);
  assert.equal(cursor.live, true);
});

test("a pause of more than two seconds is cut short, and heartbeats do not prolong it", () => {
  const beats = Array.from({ length: 100 }, (_, i) => event(i + 2, 1000 + i * 5000, "system.status"));
  const { log } = logOf([event(1, 0, "tool.start"), ...beats, event(200, 600000, "tool.end"), event(201, 600500, "x")]);
  const cursor = new Cursor(log);
  cursor.play(1);
  let frames = 0;
  for (let now = 0; cursor.at < START + 600000; now += 100) { cursor.tick(now); frames++; }
  assert.equal(cursor.at, START + 600000);
  assert.ok(frames <= 23, `${frames} frames of 100 ms for a pause of ten minutes`);
});

test("toggle freezes a running session, and starts an ended one over", () => {
  const { log } = logOf(tools(3));
  const cursor = new Cursor(log);
  cursor.toggle();
  assert.deepEqual([cursor.live, cursor.playing, cursor.at], [false, false, START + 2000]);
  cursor.seek(null);
  log.push(event(9, 9000, "session.end", { exit_code: 0 }));
  cursor.toggle();
  assert.deepEqual([cursor.playing, cursor.at], [true, START]);
  cursor.toggle();
  assert.equal(cursor.playing, false);
});

test("an empty log has nothing to seek or play", () => {
  const cursor = new Cursor(new EventLog(counting()));
  cursor.seek(START);
  cursor.step(-1);
  cursor.play();
  assert.deepEqual([cursor.live, cursor.playing, cursor.state.seen], [true, false, 0]);
});
