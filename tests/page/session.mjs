// Sessions to test with: envelopes as the protocol sends them, and a small fold of them.

export const START = Date.parse("2026-03-01T09:00:00.000Z");

/** An envelope; `after` is in ms since START. */
export const event = (seq, after, type, data = {}) => (
  { type, seq, timestamp: new Date(START + after).toISOString(), data });

/** A reducer that counts, and counts its own work. */
export function counting() {
  const work = { applied: 0, cloned: 0 };
  return {
    work,
    empty: () => ({ seen: 0, types: [], ended: null }),
    apply(state, { type, data }) {
      work.applied++;
      state.seen++;
      state.types = [...state.types.slice(-2), type];
      if (type === "session.end") state.ended = data;
    },
    clone(state) {
      work.cloned++;
      return { ...state };
    },
  };
}

/** A state of reduce.js, by the part that a test is about. */
export function state(part = {}) {
  return {
    seq: 0, at: START, info: {}, sessionId: "s", startedAt: START, ended: null,
    status: { claude_status: "running", activity: "working", waiting_for: null, pid: 1, at: START },
    phases: [], rows: [], calls: new Map(), agents: new Map(), todos: null, todoChanges: [], usage: null, usages: [],
    lastMessage: null, ...part,
  };
}

export const call = (id, at, part = {}) => [id, {
  id, tool: "Bash", input: {}, agentId: null, seq: at, at: START + at, endSeq: null, endAt: null, ok: null,
  summary: null, durationMs: null, truncated: false, ...part,
}];

export const agent = (key, at, part = {}) => [key, {
  key, agentId: key, toolUseId: null, agent: "engineer", task: "Mend it", status: "started", background: false,
  parentAgentId: null, at: START + at, endAt: null, durationMs: null, tokens: null, toolUses: null, reason: null,
  ...part,
}];
