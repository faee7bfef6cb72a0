/** Fuzzy matching for the command palette. Pure. */

const SHOWN = 50; // matches; nobody reads further down
const LONGEST = 200; // characters of a label to search
const START = 12, WORD = 8, RUN = 6, HIT = 1; // points for the start of the label, of a word, the next letter, others
const GAP = 0.1; // points lost for each character skipped
const WORD_START = /[\s\-_/.:·(]/;

/**
 * The items whose labels contain the query's characters in order, the best match first: [{item, at}], where `at` has
 * the indices of the matched characters. Case and spaces do not matter. An empty query matches all, in their own order.
 *
 * @param {Array<{label: string}>} items
 */
export function search(query, items) {
  const wanted = [...query.toLowerCase().replace(/\s+/g, "")];
  if (!wanted.length) return items.slice(0, SHOWN).map((item) => ({ item, at: [] }));
  const found = [];
  for (const item of items) {
    const match = matchLabel(wanted, item.label.slice(0, LONGEST));
    if (match) found.push({ item, ...match });
  }
  found.sort((a, b) => b.score - a.score); // the sort is stable: ties keep their own order
  return found.slice(0, SHOWN).map(({ item, at }) => ({ item, at }));
}

/** The best match as {score, at}, trying every place where the first character occurs; null if there is none. */
function matchLabel(wanted, label) {
  const lower = Array.from(label, lowered).join("");
  let best = null;
  for (let from = lower.indexOf(wanted[0]); from >= 0; from = lower.indexOf(wanted[0], from + 1)) {
    const match = matchFrom(wanted, lower, from, nearest) ?? matchFrom(wanted, lower, from, first);
    if (!match) break; // if it fails here, it fails at every later place
    if (!best || match.score > best.score) best = match;
  }
  return best;
}

function matchFrom(wanted, lower, from, choose) {
  const at = [];
  let score = 0, next = from;
  for (const char of wanted) {
    const last = at.at(-1);
    const index = choose(lower, char, next);
    if (index < 0) return null;
    if (index === 0) score += START;
    else if (WORD_START.test(lower[index - 1])) score += WORD;
    else score += index - 1 === last ? RUN : HIT;
    if (last !== undefined) score -= GAP * (index - last - 1);
    at.push(index);
    next = index + char.length;
  }
  return { score, at };
}

/** A letter whose lower case is longer stays as it is, so that indices fit the label. */
function lowered(char) {
  const lower = char.toLowerCase();
  return lower.length === char.length ? lower : char;
}

const first = (lower, char, from) => lower.indexOf(char, from);

/** Where `char` is: right at `from`, else at the start of a word, else anywhere after; −1 if nowhere. */
function nearest(lower, char, from) {
  if (lower.startsWith(char, from)) return from;
  const found = first(lower, char, from);
  for (let index = found; index >= 0; index = lower.indexOf(char, index + 1))
    if (index === 0 || WORD_START.test(lower[index - 1])) return index;
  return found;
}
