// What sessions are called, and how those that could be taken for each other are told apart.

import { base, list, str } from "./plain.js";
import { store, ordered } from "./store.js";

/** The name of the machine that a session of a hub runs on; "" for one that this page is connected to itself. */
export const machineOf = (session) => str(session.link.machine);

/** The name of the machine that the hub runs on; "" where there is no hub. */
export const localMachine = () => (store.home && store.home.hub ? store.home.hub.machine : "");

/** Whether a session runs where the server of this page does. */
export const isLocal = (session) => machineOf(session) === localMachine();

/** Whether there are sessions of several machines. */
export const manyMachines = () => index().machines.size > 1;

/** The name a session goes by: --name, else its directory; the title of one of the past. */
export const nameOf = (session) => session.title || nameIn(session.shown.info, session.port);

const nameIn = (info, port) => str(info.name) || base(info.working_dir) || "port " + port;

const tagOf = (session) => {
  const { info } = session.shown;
  const { id, port, over } = session;
  return { id, port, over, branch: str(info.git_branch), machine: machineOf(session) };
};

let known = { of: null, names: new Map(), machines: new Set() };
/** The sessions by their names, made anew when sessions or their data have changed. */
function index() {
  const sessions = ordered();
  if (known.of === sessions) return known;
  known = { of: sessions, names: new Map(), machines: new Set(sessions.map(machineOf)) };
  for (const session of sessions) put(nameOf(session), tagOf(session));
  for (const { session, info, port } of store.links.values())
    if (!session && info.working_dir)
      put(nameIn(info, port), { id: str(info.instance_id), port, over: null, branch: str(info.git_branch), machine: "" });
  return known;
}

function put(name, tag) {
  const tags = known.names.get(name);
  if (tags) tags.push(tag);
  else known.names.set(name, [tag]);
}

/** Sessions that a session could be taken for: of its name and machine, ended ones only if it ended itself. */
function twinsOf(session) {
  if (session.past) return [];
  const machine = machineOf(session);
  return list(index().names.get(nameOf(session))).filter(
    (tag) => tag.id !== session.id && tag.machine === machine && (!tag.over || session.over),
  );
}

/** The name, with what tells it apart from other sessions of that name: the branch, else the port, and the machine. */
export function labelOf(session) {
  const name = nameOf(session) + apart(session),
    machine = machineOf(session);
  return machine && manyMachines() && !isLocal(session) ? name + " on " + machine : name;
}

function apart(session) {
  const branch = str(session.shown.info.git_branch),
    twins = twinsOf(session);
  if (!twins.length) return "";
  if (branch && twins.every((other) => other.branch !== branch)) return " ⎇ " + branch;
  return twins.every((other) => other.port !== session.port) ? " :" + session.port : " " + session.id.slice(0, 4);
}
