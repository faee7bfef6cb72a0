// What an edit changes: a line diff (Myers, "An O(ND) Difference Algorithm", 1986) with the changed words of replaced
// lines. Pure and bounded: of two texts too different or too large for it, all old and then all new lines are shown.

const MAX_EDITS = 400; // inserted and deleted lines the search looks for; beyond that two texts have little in common
const MAX_WORDS = 300; // of one line that is compared word by word
const MAX_LINE = 1000; // characters of a line that is shown
const CONTEXT = 3; // unchanged lines around a change

/**
 * @typedef {{text: string, changed: boolean}} Piece
 * @typedef {{kind: "same"|"added"|"removed", oldNumber: number|null, newNumber: number|null, pieces: Piece[]}
 *   | {kind: "gap", count: number} | {kind: "cut", count: number}} DiffRow
 *   `gap`: so many unchanged lines are left out; `cut`: so many rows are not shown because the diff is too long
 * @typedef {{rows: DiffRow[], added: number, removed: number}} Diff
 */

/**
 * Compare two texts line by line.
 * @param {string} before
 * @param {string} after
 * @param {{firstLine?: number|null, maxRows?: number}} [options] `firstLine`: number of the first line in the file,
 *   null where it is unknown (then no row has numbers); `maxRows`: rows shown, 400 unless told
 * @returns {Diff} `added` and `removed` count all lines, shown or not
 */
export function diffLines(before, after, { firstLine = null, maxRows = 400 } = {}) {
  const oldLines = toLines(before),
    newLines = toLines(after);
  const script = editScript(oldLines, newLines);
  const rows = number(script, firstLine);
  return {
    rows: cutOff(fold(highlight(rows)), maxRows),
    added: rows.filter((row) => row.kind === "added").length,
    removed: rows.filter((row) => row.kind === "removed").length,
  };
}

/** The lines of a text; a final newline ends the last line and begins no further one. */
export function toLines(text) {
  if (text === "") return [];
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** All lines in order, as [kind, text]: the shortest edit script, removals before additions. */
function editScript(oldLines, newLines) {
  let start = 0,
    oldEnd = oldLines.length,
    newEnd = newLines.length;
  while (start < oldEnd && start < newEnd && oldLines[start] === newLines[start]) start++;
  while (oldEnd > start && newEnd > start && oldLines[oldEnd - 1] === newLines[newEnd - 1]) {
    oldEnd--;
    newEnd--;
  }
  const same = (lines) => lines.map((line) => ["same", line]);
  const changed = script(oldLines.slice(start, oldEnd), newLines.slice(start, newEnd), MAX_EDITS);
  return [...same(oldLines.slice(0, start)), ...changed, ...same(oldLines.slice(oldEnd))];
}

/** The shortest edit script of two sequences; all removals, then all additions when it has more than `limit` edits. */
function script(a, b, limit) {
  const replaced = () => [...a.map((item) => ["removed", item]), ...b.map((item) => ["added", item])];
  if (!a.length || !b.length) return replaced();
  const trace = search(a, b, Math.min(limit, a.length + b.length));
  return trace ? removalsFirst(backtrack(a, b, trace)) : replaced();
}

/** Myers' greedy search: for each number of edits the furthest x per diagonal; null when `limit` is not enough. */
function search(a, b, limit) {
  const trace = [];
  let furthest = new Int32Array(2 * limit + 3);
  const middle = limit + 1;
  for (let edits = 0; edits <= limit; edits++) {
    trace.push({ furthest: furthest.slice(middle - edits - 1, middle + edits + 2), edits });
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      const down = goesDown(furthest, middle + diagonal, diagonal, edits);
      let x = down ? furthest[middle + diagonal + 1] : furthest[middle + diagonal - 1] + 1;
      while (x < a.length && x - diagonal < b.length && a[x] === b[x - diagonal]) x++;
      furthest[middle + diagonal] = x;
      if (x >= a.length && x - diagonal >= b.length) return trace;
    }
  }
  return null;
}

const goesDown = (furthest, at, diagonal, edits) =>
  diagonal === -edits || (diagonal !== edits && furthest[at - 1] < furthest[at + 1]);

function backtrack(a, b, trace) {
  const reversed = [];
  let x = a.length,
    y = b.length;
  for (const { furthest, edits } of trace.reverse()) {
    const diagonal = x - y,
      at = edits + 1 + diagonal;
    const down = goesDown(furthest, at, diagonal, edits);
    const fromX = edits ? (down ? furthest[at + 1] : furthest[at - 1]) : 0;
    const fromY = edits ? fromX - (diagonal + (down ? 1 : -1)) : 0;
    while (x > fromX && y > fromY) {
      reversed.push(["same", a[--x]]);
      y--;
    }
    if (!edits) break;
    reversed.push(down ? ["added", b[--y]] : ["removed", a[--x]]);
  }
  return reversed.reverse();
}

/** Within each run of changes, removals first: what was there, then what is there now. */
function removalsFirst(steps) {
  const result = [];
  let added = [];
  for (const step of steps) {
    if (step[0] === "added") added.push(step);
    else {
      if (step[0] === "same") result.push(...added.splice(0));
      result.push(step);
    }
  }
  return [...result, ...added];
}

function number(steps, firstLine) {
  let oldNumber = firstLine,
    newNumber = firstLine;
  const take = (value) => (firstLine === null ? null : value);
  return steps.map(([kind, text]) => ({
    kind,
    oldNumber: kind === "added" ? null : take(oldNumber++),
    newNumber: kind === "removed" ? null : take(newNumber++),
    pieces: [{ text: text.length > MAX_LINE ? text.slice(0, MAX_LINE) + "…" : text, changed: false }],
  }));
}

/** Mark the changed words where a run of removed lines is followed by as many added ones. */
function highlight(rows) {
  for (let at = 0; at < rows.length;) {
    let middle = at,
      end;
    while (rows[middle]?.kind === "removed") middle++;
    for (end = middle; rows[end]?.kind === "added";) end++;
    const count = middle - at;
    if (count && end - middle === count) {
      for (let line = 0; line < count; line++) markWords(rows[at + line], rows[middle + line]);
    }
    at = Math.max(end, at + 1);
  }
  return rows;
}

function markWords(removed, added) {
  const [before, after] = [words(removed.pieces[0].text), words(added.pieces[0].text)];
  if (before.length > MAX_WORDS || after.length > MAX_WORDS) return;
  const steps = script(before, after, MAX_WORDS);
  const same = steps.reduce((size, [kind, word]) => size + (kind === "same" ? word.trim().length : 0), 0);
  const longer = Math.max(removed.pieces[0].text.trim().length, added.pieces[0].text.trim().length);
  if (same * 3 < longer) return; // hardly anything in common: marks would only be noise
  removed.pieces = pieces(steps, "removed");
  added.pieces = pieces(steps, "added");
}

const words = (line) => line.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];

function pieces(steps, kind) {
  const result = [];
  for (const [step, text] of steps) {
    if (step !== "same" && step !== kind) continue;
    const changed = step === kind;
    if (result.at(-1)?.changed === changed) result.at(-1).text += text;
    else result.push({ text, changed });
  }
  return result;
}

/** Replace long stretches of unchanged lines with a gap. */
function fold(rows) {
  const near = new Uint8Array(rows.length);
  rows.forEach((row, at) => {
    if (row.kind !== "same") near.fill(1, Math.max(0, at - CONTEXT), at + CONTEXT + 1);
  });
  const result = [];
  rows.forEach((row, at) => {
    if (near[at]) result.push(row);
    else if (result.at(-1)?.kind === "gap") result.at(-1).count++;
    else result.push({ kind: "gap", count: 1 });
  });
  return result;
}

function cutOff(rows, maxRows) {
  if (rows.length <= maxRows) return rows;
  return [...rows.slice(0, maxRows), { kind: "cut", count: rows.length - maxRows }];
}
