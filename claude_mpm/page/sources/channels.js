// The types of events that the page asks for. Pure.

import { num } from "../plain.js";

/** Of a session that is followed in full; output and pictures are asked for while somebody looks at them. */
export const CHANNELS =
  "session.* claude.status claude.question claude.message claude.usage tool.* agent.* todo.* system.*".split(" ");

/** Of every session of a hub: what its card and the table of all sessions show. */
export const CARD_CHANNELS =
  "session.* claude.status claude.question claude.usage agent.status todo.update system.error system.gap".split(" ");

/** ms between pictures of a terminal that nobody looks at. */
export const PICTURES = 2000;

/** Events after which a terminal looks different. */
export const WORTH_A_PICTURE = new Set(["claude.status", "claude.message", "tool.start", "tool.end", "session.end"]);

/** Whether a value from a history is an event. */
export const isEvent = (value) => Boolean(value) && num(value.seq) !== null && typeof value.type === "string";
