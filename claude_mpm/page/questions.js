// What becomes of Claude's questions that clients may answer. Pure. See docs/protocol.md, "Answering Claude".

import { dict, list, str } from "./plain.js";

const KEPT = 32; // questions of one session, the newest
const OVER = new Set(["applied", "withdrawn"]);

/** Take the data of `claude.question` into `state.questions`, a Map from request id to everything told of it. */
export function question(state, data, at) {
  const id = str(data.request_id);
  if (!id) return;
  const old = state.questions.get(id);
  state.questions.set(id, { ...old, ...data, askedAt: old ? old.askedAt : at, changedAt: at });
  for (const key of [...state.questions.keys()].slice(0, Math.max(0, state.questions.size - KEPT)))
    state.questions.delete(key);
}

/** The greeting lists the questions that are open; others that were have ended unseen. */
export function setQuestions(state, questions, at) {
  const open = new Set(list(questions).map((one) => str(dict(one).request_id)));
  for (const [id, old] of state.questions)
    if (!OVER.has(old.state) && !open.has(id))
      question(state, { request_id: id, state: "withdrawn", reason: "it was settled while this page was away" }, at);
  for (const one of list(questions)) question(state, dict(one), at);
}

/** The questions that are still open, oldest first. */
export const openQuestions = (state) =>
  state.ended ? [] : [...state.questions.values()].filter((one) => !OVER.has(one.state));
