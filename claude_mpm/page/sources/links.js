// Where sessions' events come from. A source is an object with
//   port, machine            where the session runs; `machine` is "" or absent for this one
//   state, why, hint         what the page says about it; the states: connecting, catching up, live, slow, lost,
//                            unreachable (the hub answers, but cannot reach it), refused, over
//   barred                   why this page may not act on the session, as the end of a sentence; "" if it may
//   want({looked, screen, output})   start or stop what is expensive, by what is looked at; called with every frame
//   request(command, params) a promise of the reply
//   retry()                  try again now
// There are two for running sessions: a WebSocket to the session itself (link.js), and a share of the one WebSocket to
// a hub (member.js). A session that is over has another, in reading.js.

import { dict, list, num, str } from "../plain.js";
import { store, redraw } from "../store.js";
import { Link } from "./link.js";

const BEAT = 3000; // ms between pings
const ASLEEP = 15000; // ms without a beat: the machine slept

/** Connect to the session, or the hub, on a port; `home`: the one that served this page. */
export function connect(port, home) {
  const link = new Link(port, home, learn);
  store.links.set(port, link);
  link.open();
  return link;
}

/** Follow what get_instances says: connect to new instances, let go of those that are gone. */
function learn(listed) {
  const running = listed.map(dict).filter((info) => num(info.port)),
    infos = running.filter((info) => info.kind !== "hub");
  store.hubs = running.filter((info) => info.kind === "hub"); // no sessions: each has a page with all machines
  store.listed = new Set(infos.map((info) => info.port));
  for (const info of infos) {
    const { port } = info;
    const old = store.links.get(port);
    const link =
      old && !(old.state === "over" && str(info.instance_id) !== (old.session ? old.session.id : ""))
        ? old
        : connect(port, Boolean(old && old.home));
    if (link.home) store.home = link;
    link.info = info;
    const session = link.session;
    if (session && session.id === info.instance_id) session.shown.info = { ...session.shown.info, ...info };
  }
  for (const link of [...store.links.values()]) if (!link.home && !store.listed.has(link.port) && !link.up) link.drop();
  redraw();
}

let lastBeat = Date.now();
/** Ping every connection, give up deaf ones, and ask which sessions there are. */
export function heartbeat() {
  const now = Date.now(),
    slept = now - lastBeat > ASLEEP;
  lastBeat = now;
  for (const link of [...store.links.values()]) link.beat(now, slept);
  const asked = [...store.links.values()].find((link) => link.up && link.ready);
  if (asked && asked.hub) asked.hub.beat();
  else if (asked) asked.send("get_instances");
}

/** Start the heartbeat. */
export function startHeartbeat() {
  setInterval(heartbeat, BEAT);
  addEventListener("online", () => [...store.links.values()].forEach((link) => link.state === "lost" && link.retry()));
}
