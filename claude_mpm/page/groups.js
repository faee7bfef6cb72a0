// Sessions by machine, and which of them are shown where there are more than a reader, or the page, can take. Pure.

import { clean } from "./plain.js";

/**
 * Group sessions by machine: the local one first, then by name. Within a machine they keep their order.
 *
 * @returns {{key: string, machine: string, sessions: Object[]}[]}
 */
export function byMachine(sessions, machineOf, local) {
  const groups = new Map();
  for (const session of sessions) {
    const machine = machineOf(session);
    if (!groups.has(machine)) groups.set(machine, { key: machine, machine, sessions: [] });
    groups.get(machine).sessions.push(session);
  }
  const isFirst = ({ machine }) => (machine === local ? 0 : 1);
  return [...groups.values()].sort((a, b) => isFirst(a) - isFirst(b) || (a.machine < b.machine ? -1 : 1));
}

/**
 * The first `limit` of a list, in its order, but those that must be seen before others.
 *
 * @returns {{shown: Object[], hidden: Object[]}}
 */
export function first(sessions, limit, must = () => false) {
  if (sessions.length <= limit) return { shown: sessions, hidden: [] };
  const chosen = new Set(sessions.filter(must).slice(0, limit));
  for (const session of sessions) {
    if (chosen.size >= limit) break;
    chosen.add(session);
  }
  return { shown: sessions.filter((one) => chosen.has(one)), hidden: sessions.filter((one) => !chosen.has(one)) };
}

/**
 * Share the room for `budget` sessions among groups. Where all fit, all are shown; else each group has the same share,
 * of at least one, or what it needs for sessions that must be seen, and groups beyond `mostGroups` are left out, those without sessions that must be seen first.
 *
 * @param {{key: string, sessions: Object[]}[]} groups
 * @param {{budget: number, mostGroups: number, must: function(Object): boolean, opened: {key: string|null,
 *   extra: number}}} options `opened`: the group that the reader opened, and how many more of it are shown
 * @returns {{groups: Object[], rest: Object[]}} the groups, each with `shown` and `hidden` beside what it had, and
 *   those that are left out
 */
export function share(groups, { budget, mostGroups, must, opened }) {
  const total = groups.reduce((sum, group) => sum + group.sessions.length, 0);
  const kept = first(groups, mostGroups, (group) => group.sessions.some(must));
  const each = total <= budget ? Infinity : Math.max(1, Math.floor(budget / Math.max(1, kept.shown.length)));
  let room = Math.floor(budget / 2); // beyond the shares, for sessions that must be seen
  const shared = kept.shown.map((group) => {
    const wanted = Math.min(room, group.sessions.filter(must).length),
      limit = Math.max(each, wanted) + (opened.key === group.key ? opened.extra : 0);
    room -= wanted;
    return { ...group, ...first(group.sessions, limit, must) };
  });
  return { groups: shared, rest: kept.hidden };
}

/** A test whether a session's words contain all that was typed. `wordsOf(session)` gives what is searched. */
export function matching(typed, wordsOf) {
  const wanted = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return (session) => {
    const words = clean(wordsOf(session)).toLowerCase();
    return wanted.every((word) => words.includes(word));
  };
}
