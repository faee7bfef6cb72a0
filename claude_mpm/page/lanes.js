/**
 * What the timeline draws for a state: the main thread's phases, a lane per agent, the tool calls in each. Pure.
 *
 * Row 0 is the main thread; rows from 1 are the agents, each below the one that started it. `end` is the time up to
 * which the state is known: now while the session runs, its end once it is over. All times are ms since the epoch.
 */

import { timeAt, xOf } from "./axis.js";

/** How many colours there are for types of agent; style/time.css has a class `agent-hue-N` for each. */
export const HUES = 6;

const MAIN = 0;
const DEEPEST = 6; // levels of nesting that are indented
const NEAR = 3; // px around the pointer that count as under it

/** The colour of a type of agent, 0 to HUES − 1, the same on every page: FNV-1a, with its bits mixed once more. */
export function agentHue(type) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < type.length; i++) hash = Math.imul(hash ^ type.charCodeAt(i), 0x01000193) >>> 0;
  return Math.floor(((Math.imul(hash ^ (hash >>> 16), 0x45d9f3b) >>> 0) / 2 ** 32) * HUES);
}

/** Whether the state has anything to draw. */
export const hasTimeline = (state) => state.calls.size > 0 || state.agents.size > 0 || state.phases.length > 1;

/** The time up to which `state` is known, if the page's clock says `now`. */
export const endOf = (state, now) => state.ended?.at ?? Math.max(now, state.at ?? now);

/** The stretch of time that `state` covers: {from, to}. */
export function boundsOf(state, end) {
  const starts = [state.startedAt, state.phases[0]?.from, state.rows[0]?.at].filter(Number.isFinite);
  const from = starts.length ? Math.min(...starts) : end;
  return { from, to: Math.max(from, end) };
}

/** The phases of the main thread within `view`: [{from, to, activity, waitingFor}]; the last one ends at `end`. */
export function phasesIn(state, view, end) {
  const found = [];
  for (const { from, to, activity, waitingFor } of state.phases) {
    const until = to ?? Math.max(from, end);
    if (until >= view.from && from <= view.to) found.push({ from, to: until, activity, waitingFor });
  }
  return found;
}

/**
 * A lane per agent, parents before their children:
 * [{key, agentId, row, depth, type, task, hue, from, to, status, background}].
 * An agent that still runs lasts until `end`. `depth` is 0 for agents that the main thread started.
 */
export function agentLanes(state, end) {
  const byId = new Map(), children = new Map();
  for (const agent of state.agents.values()) if (agent.agentId) byId.set(agent.agentId, agent);
  for (const agent of state.agents.values()) {
    const parent = agent.parentAgentId === agent.agentId ? undefined : byId.get(agent.parentAgentId);
    const siblings = children.get(parent);
    if (siblings) siblings.push(agent); else children.set(parent, [agent]);
  }
  const lanes = [], placed = new Set();
  const place = (agents, depth) => {
    for (const agent of agents) {
      if (placed.has(agent)) continue;
      placed.add(agent);
      lanes.push(lane(agent, lanes.length + 1, depth, end));
      place(children.get(agent) ?? [], depth + 1);
    }
  };
  place(children.get(undefined) ?? [], 0);
  place(state.agents.values(), 0); // what is left has parents that form a circle
  return lanes;
}

function lane(agent, row, depth, end) {
  return {
    key: agent.key, agentId: agent.agentId, row, depth: Math.min(depth, DEEPEST), type: agent.agent, task: agent.task,
    hue: agentHue(agent.agent), from: agent.at, to: agent.endAt ?? Math.max(agent.at, end), status: agent.status,
    background: Boolean(agent.background),
  };
}

/**
 * The row to scroll to, counted from 0, so that a lane running in `span` = {from, to} is in sight. It is `first`, where
 * the lanes are now, if one of the `room` lanes from there runs, or if none does anywhere.
 */
export function rowsToScroll(lanes, span, first, room) {
  const running = lanes.map((lane) => lane.from <= span.to && lane.to >= span.from);
  if (running.slice(first, first + room).includes(true)) return first;
  const found = running.indexOf(true);
  return found < 0 ? first : Math.max(0, Math.min(found, lanes.length - room));
}

/**
 * Returns rowOf(call): the row that a call belongs to, or null if it started an agent, which has its own lane. A call
 * of an unknown agent belongs to the main thread.
 */
export function rowFinder(state, lanes) {
  const rows = new Map(), delegations = new Set();
  for (const { agentId, row } of lanes) if (agentId) rows.set(agentId, row);
  for (const { toolUseId } of state.agents.values()) if (toolUseId) delegations.add(toolUseId);
  return (call) => (delegations.has(call.id) ? null : rows.get(call.agentId) ?? MAIN);
}

/**
 * The calls within `view` as marks of a plot `width` px wide: [{row, x, width, failed, running}], in whole pixels.
 * Calls that begin in the same pixel of a row become one mark, as wide as the longest and failed if any of them failed.
 */
export function callMarks(state, view, width, rowOf, end) {
  const marks = new Map();
  for (const call of state.calls.values()) {
    const until = call.endAt ?? end;
    if (until < view.from || call.at > view.to) continue;
    const row = rowOf(call);
    if (row === null) continue;
    const x = Math.max(-1, Math.floor(xOf(view, width, call.at)));
    const long = Math.min(width + 1, Math.ceil(xOf(view, width, until))) - x;
    const place = row * 65536 + x, mark = marks.get(place), failed = call.ok === false, running = call.endAt === null;
    if (!mark) marks.set(place, { row, x, width: long, failed, running });
    else {
      mark.width = Math.max(mark.width, long);
      mark.failed ||= failed;
      mark.running ||= running;
    }
  }
  return [...marks.values()];
}

/** The user's prompts within `view`, as times. */
export function promptsIn(state, view) {
  const found = [];
  for (const row of state.rows)
    if (row.kind === "message" && row.role === "user" && !row.agentId && row.at >= view.from && row.at <= view.to)
      found.push(row.at);
  return found;
}

/**
 * What happened at `x` px from the left edge of a row: {at, phase, calls, more}. `calls` are the newest, at most
 * `limit`, newest first; `more` counts the others. `phase` is the main thread's, or null.
 */
export function under({ state, view, width, rowOf, end }, row, x, limit = 4) {
  const at = timeAt(view, width, x), from = timeAt(view, width, x - NEAR), to = timeAt(view, width, x + NEAR);
  const calls = [];
  for (const call of state.calls.values())
    if (call.at <= to && (call.endAt ?? end) >= from && rowOf(call) === row) calls.push(call);
  const phase = phasesIn(state, { from: at, to: at }, end).at(-1) ?? null;
  return { at, phase, calls: calls.slice(-limit).reverse(), more: Math.max(0, calls.length - limit) };
}

/** When the next (`direction` 1) or previous (−1) entry of the conversation was made; null if there is none. */
export function neighbourTime(state, at, direction) {
  let best = null;
  for (const row of state.rows) {
    const ahead = (row.at - at) * direction;
    if (ahead > 0 && (best === null || ahead < (best - at) * direction)) best = row.at;
  }
  return best;
}
