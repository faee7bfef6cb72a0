// The files a session touched, from its tool calls alone: nothing is read from disk. Pure.

import { EDIT_TOOLS, fileEdits } from "./edits.js";
import { stateOf } from "./tools.js";

/**
 * @typedef {{id: string, seq: number, at: number, agentId: string|null, tool: string,
 *   state: "running"|"done"|"unfinished", edits: import("./edits.js").FileEdits}} Change one call
 * @typedef {{path: string, added: number, removed: number, partial: boolean, created: boolean,
 *   changes: Change[]}} ChangedFile
 */

/**
 * All files that calls of Edit, Write, MultiEdit and NotebookEdit changed, in the order of their first change, each
 * with its changes in order. Failed calls changed nothing and are left out; calls that have not ended are in.
 * @param {object} state the session
 * @param {{over?: boolean}} [context] `over`: the session has ended
 * @returns {{files: ChangedFile[], added: number, removed: number, partial: boolean}} `partial`: of some input only a
 *   part is known, so that the counts are lower bounds
 */
export function changedFiles(state, context = {}) {
  const files = new Map();
  for (const call of state.calls.values()) {
    if (!EDIT_TOOLS.has(call.tool) || call.ok === false) continue;
    const edits = fileEdits(call);
    if (!edits.path) continue;
    const file = files.get(edits.path) ?? {
      path: edits.path,
      added: 0,
      removed: 0,
      partial: false,
      created: false,
      changes: [],
    };
    files.set(edits.path, file);
    if (!file.changes.length) file.created = edits.created;
    file.added += edits.added;
    file.removed += edits.removed;
    file.partial ||= edits.partial;
    const { id, seq, at, tool } = call;
    file.changes.push({ id, seq, at, agentId: call.agentId ?? null, tool, state: stateOf(call, context), edits });
  }
  const all = [...files.values()];
  const sum = (key) => all.reduce((total, file) => total + file[key], 0);
  return { files: all, added: sum("added"), removed: sum("removed"), partial: all.some((file) => file.partial) };
}
