// How a session stands when only its status and a few types of its events are known. Pure.

import { apply, empty } from "./reduce.js";
import { brief } from "./text/phrases.js";

/** Keep a state as small as a card needs it. */
export function summarise(state) {
  for (const list of [state.rows, state.usages, state.todoChanges]) list.length = 0;
  if (state.phases.length > 1) state.phases.splice(0, state.phases.length - 1);
  state.calls.clear();
  state.agents.clear();
}

/** Take the data of a `system.status` whose texts were cut: a request that is known in full stays as it is known. */
export function takeStatus(state, status) {
  const { waiting_for: old } = state.status;
  apply(state, { type: "system.status", timestamp: new Date().toISOString(), data: status });
  const { waiting_for: now } = state.status;
  if (!old || !now || old === now) return;
  if (["kind", "tool", "request_id"].some((key) => old[key] !== now[key])) return;
  if (brief(old.input) !== brief(now.input)) return;
  const { input, message, since } = old;
  state.status = { ...state.status, waiting_for: { ...now, input, message, since } };
}

/** The state that some newest events add up to, completed with what is known otherwise: `known`, a summary. */
export function introduce(events, known) {
  const state = empty();
  for (const event of events) apply(state, event);
  const { info, status, ended, activeAgents, questions } = known;
  Object.assign(state, { info: { ...state.info, ...info }, status, ended, activeAgents, questions });
  for (const key of ["sessionId", "startedAt", "todos", "usage", "launchMethod"]) state[key] = state[key] || known[key];
  return state;
}

/** Since when a session waits as `waiting` says, by its last `claude.status` events; null if they do not say. */
export function sinceWhen(events, waiting) {
  const state = empty();
  for (const event of events) apply(state, event);
  const told = state.status.waiting_for;
  return told && told.kind === waiting.kind && told.tool === waiting.tool ? told.since : null;
}
