// The rows of a session's conversation, bounded. Pure.

const ROWS = 40000; // kept per session; the oldest go first
const SPARE = 1.1; // trim in one go once this much over the limit, so that trimming is rare

/** Keep an array near its limit by dropping its oldest entries. */
export const trim = (array, limit) => {
  if (array.length > limit * SPARE) array.splice(0, array.length - limit);
};

/** Append a row to the conversation; above the limit the oldest rows go, and their calls. */
export function push(state, row) {
  state.rows.push(row);
  if (state.rows.length <= ROWS * SPARE) return;
  for (const old of state.rows.splice(0, state.rows.length - ROWS)) if (old.kind === "call") state.calls.delete(old.id);
}

/** Append a row that says something about the session itself. `severity`: info, warning, error or gap. */
export const notice = (state, at, seq, text, severity = "info") =>
  push(state, { kind: "notice", seq, at, text, severity });
