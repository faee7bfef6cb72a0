// Which session an instance ran, remembered beyond the tab: an address of an instance that is gone leads to its past.

import { list, str } from "../plain.js";
import { store, view } from "../store.js";
import { isLocal } from "../names.js";
import { PAST, go } from "../route.js";

const KEY = "sessions-of-instances";
const REMEMBERED = 200; // instances; the oldest are forgotten first

const read = () => {
  try {
    return new Map(list(JSON.parse(localStorage.getItem(KEY))).filter(Array.isArray));
  } catch {
    return new Map(); // storage is switched off, or holds something else
  }
};
let sessions = null; // instance id → session id

function remember() {
  sessions = sessions || read();
  let grown = false;
  for (const session of store.sessions.values()) {
    const { id, past, shown } = session;
    if (past || !isLocal(session) || !shown.sessionId || sessions.get(id) === shown.sessionId) continue;
    sessions.delete(id);
    sessions.set(id, shown.sessionId);
    grown = true;
  }
  if (!grown) return;
  try {
    localStorage.setItem(KEY, JSON.stringify([...sessions].slice(-REMEMBERED)));
  } catch {
    // storage is switched off: a reload will not find the session
  }
}

/** Follow the address of an instance that is gone to its session's past. Called with every frame. */
export function resumePast() {
  remember();
  const id = view.session;
  if (!id || store.sessions.has(id) || id.startsWith(PAST) || !sessions.has(id)) return;
  if (!store.home || !["live", "slow"].includes(store.home.state)) return; // who else runs is not known yet
  if ([...store.links.values()].some((link) => str(link.info.instance_id) === id)) return; // it is being connected to
  const { name, agent, query, at } = view;
  go({ session: PAST + sessions.get(id), name, agent, query, at }, { replace: true });
}
