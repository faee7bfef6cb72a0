// What a hub cannot reach at the moment, in one calm line for each source, with the reason.

import { el, arrange } from "./dom.js";
import { line, plural, str } from "../plain.js";
import { store } from "../store.js";

const SHOWN = 5; // sources
const WORDS = 240; // characters of a reason
const root = el("div", { class: "sources", role: "status" });
let drawn = "";

/** The element that says it; hidden where there is nothing to say. */
export function renderSources() {
  const said = lines(store.home && store.home.hub),
    key = JSON.stringify(said);
  root.hidden = !said.length;
  if (key === drawn) return root;
  drawn = key;
  arrange(root, said.map((text) => el("p", { class: "data", text })));
  return root;
}

function lines(hub) {
  if (!hub) return [];
  const { troubles, unshown } = hub;
  const words = ({ name, error }) => "◌ " + str(name) + " cannot be reached: " + line(error, WORDS),
    said = troubles.slice(0, SHOWN).map(words);
  if (troubles.length > SHOWN) said.push("◌ " + plural(troubles.length - SHOWN, "more source") + " cannot be reached.");
  if (unshown) said.push(plural(unshown, "session") + " more than this page can show.");
  return said;
}
