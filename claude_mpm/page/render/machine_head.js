// The heading of one machine's sessions: its name, how many there are, and how many of them need the reader.

import { el, text, attr } from "./dom.js";
import { plural } from "../plain.js";
import { waitingFor } from "../store.js";

/** The parts of a heading, for fillMachine(). */
export function machineHead() {
  const part = {
    name: el("b", { class: "data cut" }),
    of: el("span", { class: "of num" }),
    calls: el("span", { class: "calls num" }),
  };
  part.root = el("span", { class: "machine-head" }, part.name, part.of, part.calls);
  return part;
}

/** @param {{machine: string, sessions: Object[]}} group */
export function fillMachine(part, { machine, sessions }) {
  const needing = sessions.filter(waitingFor).length,
    away = sessions.length > 0 && sessions.every(({ link }) => link.state === "unreachable");
  text(part.name, machine || "unknown machine");
  text(part.of, away ? "◌ not reachable" : plural(sessions.length, "session"));
  text(part.calls, needing ? "◆ " + needing + (needing === 1 ? " needs you" : " need you") : "");
  attr(part.root, "title", away ? sessions[0].link.why || null : null);
}
