/** What a session has used: tokens, cost and context by turn; calls, failures and time by tool and agent. Pure. */

const PARTS = ["input", "output", "cache_read", "cache_creation"];

const finite = (value) => (Number.isFinite(value) ? value : 0);
const sum = (tokens) => PARTS.reduce((total, part) => total + finite(tokens?.[part]), 0);

/**
 * All numbers of a state. What still runs is counted up to `end`, in ms. Returns
 * {tokens: {input, output, cache_read, cache_creation, total} | null, cost, costIsEstimate, context, turns, tools,
 * agents}; `cost` (US dollars) and `context` (per cent) are null if they are not known.
 */
export function numbersOf(state, end) {
  const { usage } = state, totals = usage?.totals;
  const tokens = totals && Object.fromEntries(PARTS.map((part) => [part, finite(totals[part])]));
  return {
    tokens: tokens ? { ...tokens, total: sum(tokens) } : null,
    cost: usage?.cost_usd ?? null,
    costIsEstimate: Boolean(usage?.cost_is_estimate),
    context: usage?.context_percent ?? null,
    turns: turnsOf(state),
    tools: toolsOf(state, end),
    agents: agentsOf(state, end),
  };
}

/**
 * The turns of a session, each from one prompt of the user to the next: [{seq, at, prompt, tokens, output, cost,
 * context}]. Anything used before the first prompt is a turn with `seq` null. `cost` is what the turn added to the cost
 * of the session, `context` the most that the main thread's context was filled; both are null if they are not known.
 */
export function turnsOf(state) {
  const turns = [];
  for (const row of state.rows)
    if (row.kind === "message" && row.role === "user" && !row.agentId) turns.push(turn(row.seq, row.at, row.text));
  let index = -1, spent = 0;
  for (const used of state.usages) {
    while (index + 1 < turns.length && turns[index + 1].seq <= used.seq) index++;
    if (index < 0) {
      turns.unshift(turn(null, used.at, ""));
      index = 0;
    }
    const here = turns[index];
    here.tokens += sum(used.tokens);
    here.output += finite(used.tokens?.output);
    if (Number.isFinite(used.contextPercent) && !used.agentId)
      here.context = Math.max(here.context ?? 0, used.contextPercent);
    if (!Number.isFinite(used.costUsd)) continue;
    here.cost = (here.cost ?? 0) + added(spent, used.costUsd);
    spent = used.costUsd;
  }
  return turns;
}

/** Events give the cost so far. A slightly lower one corrects an estimate; a far lower one follows a /clear. */
const added = (before, now) => (now < before / 2 ? now : now - before);

const turn = (seq, at, prompt) => ({ seq, at, prompt, tokens: 0, output: 0, cost: null, context: null });

/**
 * Tools by name, the one with the longest total time first:
 * [{name, calls, failures, running, totalMs, slowestMs, slowest}], where `slowest` is a call.
 */
export function toolsOf(state, end) {
  const groups = new Map();
  for (const call of state.calls.values()) {
    const group = groupOf(groups, call.tool), ran = call.endAt === null;
    tally(group, ran, call.ok === false, ran ? end - call.at : call.durationMs ?? call.endAt - call.at, call);
  }
  return ranked(groups);
}

/** Agents by type, in the same form and order, with the sums of their `tokens` and `toolUses`. */
export function agentsOf(state, end) {
  const groups = new Map();
  for (const agent of state.agents.values()) {
    const group = groupOf(groups, agent.agent, { tokens: 0, toolUses: 0 }), runs = agent.endAt === null;
    const took = runs ? end - agent.at : agent.durationMs ?? agent.endAt - agent.at;
    tally(group, runs, agent.status === "failed", took, agent);
    group.tokens += finite(agent.tokens);
    group.toolUses += finite(agent.toolUses);
  }
  return ranked(groups);
}

function groupOf(groups, name, more = {}) {
  let group = groups.get(name);
  if (!group) {
    group = { name, calls: 0, failures: 0, running: 0, totalMs: 0, slowestMs: 0, slowest: null, ...more };
    groups.set(name, group);
  }
  return group;
}

function tally(group, running, failed, took, subject) {
  const ms = Math.max(0, finite(took));
  group.calls++;
  group.running += Number(running);
  group.failures += Number(failed);
  group.totalMs += ms;
  if (group.slowest && ms <= group.slowestMs) return;
  group.slowest = subject;
  group.slowestMs = ms;
}

const ranked = (groups) => [...groups.values()].sort((a, b) => b.totalMs - a.totalMs || b.calls - a.calls);

/** At most `limit` turns, made by joining neighbours; a joined turn has the seq and the prompt of its first. */
export function joined(turns, limit) {
  const size = Math.ceil(turns.length / limit);
  if (size <= 1) return turns;
  const bars = [];
  for (let from = 0; from < turns.length; from += size) {
    const part = turns.slice(from, from + size);
    const total = (key) => part.reduce((all, { [key]: value }) => (value === null ? all : (all ?? 0) + value), null);
    const known = part.map((each) => each.context).filter((each) => each !== null);
    const context = known.length ? Math.max(...known) : null;
    bars.push({ ...part[0], tokens: total("tokens"), output: total("output"), cost: total("cost"), context });
  }
  return bars;
}
