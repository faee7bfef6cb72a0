// The address and the view are the same thing: #/INSTANCE/VIEW?agent=KEY&q=TEXT&at=MS, #/past/SESSION/VIEW?… for a
// session that is over, and #/?q=TEXT for the overview.

import { view } from "./store.js";

/** The views of a session, in the order of their tabs and digit keys. */
export const VIEWS = ["conversation", "changes", "screen", "events", "numbers", "todos"];

/** What the ids of sessions that are over begin with: "past/" and the id that Claude gave the session. */
export const PAST = "past/";

/** Parse an address's fragment. Pure. Returns null for one that names no view, such as "". */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  if (!path.startsWith("/")) return null;
  const parts = path.split("/").slice(1).map(decode),
    isPast = parts[0] === "past" && Boolean(parts[1]);
  const session = isPast ? PAST + parts[1] : parts[0],
    name = parts[isPast ? 2 : 1],
    params = new URLSearchParams(query),
    at = Number(params.get("at"));
  return {
    session: session || null,
    name: VIEWS.includes(name) ? name : "conversation",
    agent: params.get("agent") || null,
    query: params.get("q") || "",
    at: at > 0 ? at : null,
  };
}

const decode = (part) => {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
};

/** The fragment for a view. Pure. */
export function format({ session, name, agent, query, at }) {
  const params = new URLSearchParams();
  if (agent) params.set("agent", agent);
  if (query) params.set("q", query);
  if (!session) return "#/" + (query ? "?" + new URLSearchParams({ q: query }) : "");
  if (at) params.set("at", String(Math.round(at)));
  const isPast = session.startsWith(PAST),
    id = encodeURIComponent(isPast ? session.slice(PAST.length) : session);
  return "#/" + (isPast ? PAST : "") + id + "/" + name + (params.size ? "?" + params : "");
}

/**
 * Change what is looked at, and the address with it.
 *
 * @param {Partial<typeof view>} changes
 * @param {{replace?: boolean}} how replace: no step for the Back button, as for typing and scrubbing
 */
export function go(changes, { replace = false } = {}) {
  const other = changes.session !== undefined && changes.session !== view.session;
  const next = { ...view, ...(other ? { agent: null, query: "", at: null } : null), ...changes };
  const same = format(next) === location.hash;
  Object.assign(view, next);
  if (!same)
    history[replace ? "replaceState" : "pushState"](null, "", location.pathname + location.search + format(next));
}

/** Take the view from the address. Returns false when the address names none. */
export function read() {
  const parsed = parse(location.hash);
  if (parsed) Object.assign(view, parsed);
  return parsed !== null;
}
