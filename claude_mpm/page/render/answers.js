// The answers a reader can give: one card for each open question of the session that is looked at, what became of the
// answer, and why none can be given here. What a card looks like is in answer.js.

import { el, text } from "./dom.js";
import { exact } from "../tools/exact.js";
import { list, str } from "../plain.js";
import { isLive, redraw, waitingFor } from "../store.js";
import { openQuestions } from "../questions.js";
import { isLocal, machineOf } from "../names.js";
import { rearm, renderAnswer, showAnswerState } from "./answer.js";

const LINGER = 6000; // ms for which the end of a question is told
const OVER = new Set(["applied", "withdrawn"]);
const host = document.getElementById("needs-answer");
const cards = new Map(); // request id → {element, card, state, overAt}
let owner = null; // id of the session whose cards these are

/** Whether this page may answer a session's questions and enter prompts: it holds the token, and control is on. */
export const mayControl = (session) => isLive(session) && isControlled(session) && !session.link.barred;

const isControlled = (session) => list(session.shown.info.capabilities).includes("control");

/**
 * Draw the cards of the session's questions.
 *
 * @returns {{open: Object[], told: boolean}} the questions that can be answered here now, and whether anything is shown
 */
export function renderAnswers(session) {
  if (owner !== session.id) {
    owner = session.id;
    cards.clear();
    host.replaceChildren();
  }
  const { questions } = session.shown,
    open = mayControl(session) ? openQuestions(session.shown) : [];
  for (const one of open) if (!cards.has(one.request_id)) add(session, one);
  for (const [id, entry] of cards) update(id, entry, questions.get(id), session);
  host.hidden = !cards.size;
  return { open: open.filter((one) => one.state === "asked"), told: cards.size > 0 };
}

function add(session, asked) {
  const { link } = session,
    entry = { card: null, element: null, state: "asked", overAt: null };
  const send = async (command, params) => {
    try {
      return await link.request(command, params);
    } catch (error) {
      if (["already_answered", "expired"].includes(error.code)) entry.overAt = Date.now();
      throw error;
    }
  };
  entry.card = renderAnswer(asked, { send });
  entry.element = el("section", { class: "question-card" }, el("h3", { text: whoAsks(session, asked) }), entry.card);
  cards.set(asked.request_id, entry);
  host.append(entry.element);
  disarm(entry);
}

/** Whatever changes the height of one card moves the others. */
function disarm(changed) {
  for (const entry of cards.values()) if (entry !== changed) rearm(entry.card);
}

function update(id, entry, told, session) {
  const state = told && !session.shown.ended ? told.state : "withdrawn";
  if (state !== entry.state) {
    entry.state = state;
    showAnswerState(entry.card, told && state === told.state ? told : { state, reason: "the session is over" });
    if (OVER.has(state)) entry.overAt = Date.now();
    disarm(entry);
  }
  if (entry.overAt === null || Date.now() - entry.overAt < LINGER) return;
  if (!OVER.has(entry.state) && told) return; // refused, but nothing was told of its end yet
  cards.delete(id);
  entry.element.remove();
  disarm(entry);
  redraw();
}

/** "Claude asks permission for Bash", or the agent by its name. */
export function whoAsks(session, { kind, tool, agent_id: agentId }) {
  const agent = agentId ? [...session.shown.agents.values()].find((one) => one.agentId === agentId) : null,
    who = agent ? "Agent " + str(agent.agent) : agentId ? "A subagent" : "Claude";
  if (tool === "ExitPlanMode") return exact(who + " presents a plan");
  return exact(who + (kind === "question" ? " has a question" : " asks permission for " + str(tool)));
}

/** Where the answer can be given, in a sentence. `waiting` is `waiting_for` of the state, or null. */
export function whereToAnswer(session, waiting, open) {
  const place = "the terminal of " + str(session.shown.info.working_dir) + where(session);
  if (open.length) return "Answer here, or in " + place + ".";
  if (!waiting || waiting.kind === "input") return "Answer in " + place + ".";
  if (waiting.answerable === false && waiting.reason) return "Answer in " + place + ": " + exact(waiting.reason) + ".";
  if (waiting.answerable && isControlled(session) && session.link.barred)
    return "Answer in " + place + session.link.barred + ".";
  return "Answer in " + place + ".";
}

const where = (session) => (isLocal(session) || !machineOf(session) ? "" : " on " + machineOf(session));

/** The title of the card. */
export function titleOf(session, waitingText) {
  const waiting = waitingFor(session),
    questions = [...cards.values()].filter((entry) => entry.state === "asked").length;
  if (questions > 1) return "◆ " + questions + " questions wait for an answer" + where(session);
  if (waiting) return "◆ Claude " + waitingText(waiting) + where(session);
  const open = openQuestions(session.shown).find((one) => cards.has(one.request_id));
  if (open) return "◆ " + whoAsks(session, open) + where(session);
  return [...cards.values()].every((entry) => entry.state === "applied") ? "Answered" : "Not asked any more";
}
