// Prints what 50,000 events cost: run with `node --expose-gc tests/page/bench.mjs [count]`. Asserts nothing.

import * as reducer from "../../claude_mpm/page/reduce.js";
import { agentLanes, boundsOf, callMarks, endOf, phasesIn, promptsIn, rowFinder } from "../../claude_mpm/page/lanes.js";
import { numbersOf } from "../../claude_mpm/page/numbers.js";
import { EventLog } from "../../claude_mpm/page/time.js";
import { long } from "./story.mjs";

const count = Number(process.argv[2] ?? 50000);
const texts = long(count).map((event) => JSON.stringify(event));
const heap = () => { globalThis.gc?.(); return process.memoryUsage().heapUsed / 2 ** 20; };

function timed(times, work) {
  const took = [];
  for (let i = 0; i < times; i++) {
    const from = performance.now();
    work(i);
    took.push(performance.now() - from);
  }
  took.sort((a, b) => a - b);
  return `median ${took[times >> 1].toFixed(1)} ms, p95 ${took[Math.floor(times * 0.95)].toFixed(1)} ms, `
    + `most ${took.at(-1).toFixed(1)} ms`;
}

const before = heap(), from = performance.now(), log = new EventLog(reducer);
for (const text of texts) log.push(JSON.parse(text), text.length);
const chars = texts.reduce((all, text) => all + text.length, 0) / 2 ** 20;
console.log(`${count} events of ${chars.toFixed(0)} MB: taken in ${(performance.now() - from).toFixed(0)} ms`);
console.log(`heap of events, live state and checkpoints: ${(heap() - before).toFixed(0)} MB`);

let seed = 1;
const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
console.log(`jump anywhere: ${timed(200, () => log.stateAt(Math.floor(random() * count)))}`);
console.log(`one step on:   ${timed(400, (i) => log.stateAt(count - 700 + i))}`);

const state = log.live, end = endOf(state, state.at), view = boundsOf(state, end);
console.log(`what the timeline draws: ${timed(30, () => {
  const lanes = agentLanes(state, end);
  phasesIn(state, view, end);
  promptsIn(state, view);
  callMarks(state, view, 1200, rowFinder(state, lanes), end);
})}`);
console.log(`numbers: ${timed(30, () => numbersOf(state, end))}`);
