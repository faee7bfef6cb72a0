/**
 * What the timeline draws of a state: the main thread's phases, a lane per agent, the calls in each. Pure.
 *
 * Row 0 is the main thread; rows 1 and up are the agents, each below the one that started it. `end` is the time up to
 * which the state is known: now while it is live, the end of a session that is over.
 */

import { timeAt, xOf } from "./axis.js";

/** Colours for types of agent, as many as style/time.css has classes `agent-hue-N`. */
export const HUES = 6;

const MAIN = 0;
const DEEPEST = 6; // nesting that is still indented
const NEAR = 3; // px around the pointer that count as under it
const HINTS = ["command", "file_path", "notebook_path", "pattern", "query", "url", "skill", "subject", "description"];

/** The number of the colour for a type of agent, always the same for the same name: FNV-1a, its bits mixed again. */
export function agentHue(type) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < type.length; i++) hash = Math.imul(hash ^ type.charCodeAt(i), 0x01000193) >>> 0;
  return Math.floor(((Math.imul(hash ^ (hash >>> 16), 0x45d9f3b) >>> 0) / 2 ** 32) * HUES);
}

/** Whether there is anything to draw. */
export const hasTimeline = (state) => state.calls.size > 0 || state.agents.size > 0 || state.phases.length > 1;

/** The time up to which `state` says something, of a session that is over or of a page whose clock says `now`. */
export const endOf = (state, now) => state.ended?.at ?? Math.max(now, state.at ?? now);

/** The time that `state` covers: {from, to}. */
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
 * One that has not ended lasts until `end`. Depth counts the agents above it, so top-level ones have 0.
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
  place(state.agents.values(), 0); // those whose parents go round in a circle
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
 * Where calls belong: `rowOf(call)` gives the row, or null for a call that started an agent, which has a lane instead.
 * A call of an agent that is not known is drawn in the main lane.
 */
export function rowFinder(state, lanes) {
  const rows = new Map(), delegations = new Set();
  for (const { agentId, row } of lanes) if (agentId) rows.set(agentId, row);
  for (const { toolUseId } of state.agents.values()) if (toolUseId) delegations.add(toolUseId);
  return (call) => (delegations.has(call.id) ? null : rows.get(call.agentId) ?? MAIN);
}

/**
 * The calls within `view` as marks of a plot `width` px wide: [{row, x, width, failed, running}], in whole pixels.
 * Calls that begin in the same pixel of a row are one mark, as long as the longest, failed if one of them has.
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
 * What happened `x` px from the left of a row: {at, phase, calls}, the newest calls first and at most `limit`.
 * `phase` is the main thread's, or null.
 */
export function under({ state, view, width, rowOf, end }, row, x, limit = 4) {
  const at = timeAt(view, width, x), from = timeAt(view, width, x - NEAR), to = timeAt(view, width, x + NEAR);
  const calls = [];
  for (const call of state.calls.values())
    if (call.at <= to && (call.endAt ?? end) >= from && rowOf(call) === row) calls.push(call);
  const phase = phasesIn(state, { from: at, to: at }, end).at(-1) ?? null;
  return { at, phase, calls: calls.slice(-limit).reverse(), more: Math.max(0, calls.length - limit) };
}

/** The time of the next (`direction` 1) or previous (−1) thing in the conversation; null when there is none. */
export function neighbourTime(state, at, direction) {
  let best = null;
  for (const row of state.rows) {
    const ahead = (row.at - at) * direction;
    if (ahead > 0 && (best === null || ahead < (best - at) * direction)) best = row.at;
  }
  return best;
}

/** A call in a few words: its tool and what of its input says most. */
export function callHint(call) {
  const key = HINTS.find((each) => typeof call.input?.[each] === "string");
  return key ? `${call.tool}  ${call.input[key].slice(0, 400).trim().replace(/\s+/g, " ").slice(0, 90)}` : call.tool;
}
