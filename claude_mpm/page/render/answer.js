// Answering what Claude asks: buttons for a permission, a form for questions, the plan with its two answers.
//
// A click here runs a program on somebody's machine, so all that would run is shown, nothing is focused by itself, and
// the buttons take no click for half a second after they have appeared: a click that was meant for what was there
// before must not answer.

import { exact, exactFields, questionsOf, secondsUntil } from "../tools/exact.js";
import { el } from "./dom.js";
import { renderMarkdown } from "./markdown.js";

const ARM_MS = 500;
const LABELS = new Map([
  ["allow", "Allow"],
  ["allow_session", "Allow for this session"],
  ["deny", "Deny"],
]);
const PLAN_LABELS = new Map([
  ["allow", "Approve the plan"],
  ["deny", "Keep planning"],
]);
const QUESTION_LABELS = new Map([
  ["allow", "Send the answers"],
  ["deny", "Decline to answer"],
]);
const STATES = new Map([
  ["delivered", "Claude has the answer."],
  ["applied", "Claude acts on the answer."],
]);
const SETTLED = new Set(["already_answered", "expired"]); // codes of refusals that no second try can change
let count = 0; // makes the ids of form fields different

/**
 * The card's part that answers. Make a new one whenever `request_id` or `answerable` changes, and only then: a new one
 * is not armed yet, and what was typed into the old one is gone.
 *
 * @param {Object} waitingFor `waiting_for` of claude.status, or an open question of system.status
 * @param {{send: function(string, Object): Promise<any>, now?: function(): number}} ctx send(command, params) settles
 *   as the server replies, and rejects with an Error whose message is the server's
 * @returns {HTMLElement}
 */
export function renderAnswer(waitingFor, { send, now = Date.now }) {
  if (waitingFor.answerable === false || !waitingFor.request_id)
    return el("div", { class: "answer" }, elsewhere(waitingFor));
  const status = el("p", { class: "answer-status", role: "status" });
  const form = el("form", { class: "answer-form" }, ...body(waitingFor));
  const word = messageField(waitingFor);
  const buttons = (waitingFor.decisions || []).filter((one) => LABELS.has(one)).map((one) => button(waitingFor, one));
  const card = el("div", { class: "answer" }, form, status);
  form.append(word, el("div", { class: "answer-buttons" }, ...buttons));
  form.addEventListener("submit", (event) => event.preventDefault()); // Enter in a field answers nothing
  for (const one of buttons)
    one.addEventListener("click", () => give(one.dataset.decision, { waitingFor, form, word, buttons, status, send }));
  arm(buttons);
  countDown(card, waitingFor, status, now);
  return card;
}

/** Show in a card of renderAnswer() what `claude.question` says of its question. */
export function showAnswerState(card, { state, decision, client, reason }) {
  const status = card.querySelector(".answer-status");
  if (!status || state === "asked") return;
  for (const one of card.querySelectorAll("button")) one.disabled = true;
  card.dataset.state = state;
  const who = client ? " (" + (LABELS.get(decision) || "answered") + ", " + client + ")" : "";
  status.textContent = exact(state === "withdrawn" ? "Not answered here: " + (reason || "") : STATES.get(state) + who);
}

function elsewhere({ answerable, reason }) {
  const why = typeof reason === "string" && answerable === false ? ": " + exact(reason) : "";
  return el("p", { class: "answer-elsewhere" }, "Answer in the terminal" + why + ".");
}

// --- what is asked ---

function body({ tool, input, kind }) {
  if (kind === "question" && questionsOf(input).length) return questionsOf(input).map(questionField);
  if (tool === "ExitPlanMode" && input && typeof input.plan === "string")
    return [el("div", { class: "answer-plan" }, renderMarkdown(exact(input.plan)))];
  return exactFields(input).map(({ name, text }) =>
    el("div", { class: "answer-input" }, name ? el("b", { text: name }) : null, el("pre", { class: "data", text })),
  );
}

function questionField({ key, header, several, options }) {
  const name = "answer-" + ++count;
  const choices = options.map(({ label, description }) => {
    const input = el("input", { type: several ? "checkbox" : "radio", name });
    input.answer = label; // the exact label: what is shown may be written out
    return el("label", { class: "answer-option" }, input, el("b", { text: exact(label) }), " ", exact(description));
  });
  const own = el("input", { type: "text", placeholder: "or in your own words", autocomplete: "off" });
  own.isOwn = true;
  const field = el("fieldset", { class: "answer-question" }, el("legend", { text: exact(header || key) }));
  field.append(el("p", { text: exact(key) }), ...choices, own);
  field.question = { key, several };
  return field;
}

/** What was chosen for each question; null when one has no answer yet. */
function answersIn(form) {
  const answers = new Map();
  for (const field of form.querySelectorAll("fieldset.answer-question")) {
    const inputs = [...field.querySelectorAll("input")];
    const chosen = inputs.filter((input) => input.checked && !input.isOwn).map((input) => input.answer);
    const own = inputs.filter((input) => input.isOwn && input.value.trim()).map((input) => input.value.trim());
    const { key, several } = field.question;
    const given = several ? [...chosen, ...own] : own.length ? own : chosen; // own words replace the one choice
    if (!given.length) return null;
    answers.set(key, several ? given : given[0]);
  }
  return Object.fromEntries(answers);
}

// --- the answer ---

function messageField({ decisions }) {
  if (!(decisions || []).includes("deny")) return el("span");
  const id = "answer-word-" + ++count;
  const input = el("input", { type: "text", id, autocomplete: "off", placeholder: "optional" });
  return el("p", { class: "answer-word" }, el("label", { for: id }, "If you refuse, a word to Claude "), input);
}

function button({ kind, tool, grants }, decision) {
  const labels = tool === "ExitPlanMode" ? PLAN_LABELS : kind === "question" ? QUESTION_LABELS : LABELS;
  const made = el("button", { type: "button", data: { decision }, disabled: true });
  made.append(el("span", { text: labels.get(decision) || LABELS.get(decision) }));
  if (decision === "allow_session")
    for (const grant of grants || []) made.append(el("small", { class: "data", text: exact(String(grant)) }));
  return made;
}

function arm(buttons) {
  setTimeout(() => {
    // Another client may have answered meanwhile.
    for (const one of buttons) one.disabled = Boolean(one.closest(".answer")?.dataset.state);
  }, ARM_MS);
}

/** Disarm a card for the same half second, because it has just moved under the mouse. */
export function rearm(card) {
  const armed = [...card.querySelectorAll("button")].filter((one) => !one.disabled);
  for (const one of armed) one.disabled = true;
  arm(armed);
}

async function give(decision, { waitingFor, form, word, buttons, status, send }) {
  const params = { request: waitingFor.request_id, decision };
  const message = word.querySelector("input")?.value.trim();
  if (decision === "deny" && message) params.message = message;
  if (decision === "allow" && waitingFor.kind === "question") {
    params.answers = answersIn(form);
    if (!params.answers) return void (status.textContent = "Answer every question first.");
  }
  for (const one of buttons) one.disabled = true;
  status.textContent = "Sending the answer…";
  try {
    await send("answer", params);
    if (status.textContent === "Sending the answer…") status.textContent = "The answer is on its way to Claude.";
  } catch (error) {
    status.textContent = exact(String(error && error.message ? error.message : error));
    if (!SETTLED.has(error.code)) arm(buttons);
  }
}

/** Say how long a subagent waits. Ends by itself once the card has left the page. */
function countDown(card, { expires_at: expiresAt }, status, now) {
  if (secondsUntil(expiresAt, now()) === null) return;
  const left = el("p", { class: "answer-countdown", "aria-live": "off" });
  card.insertBefore(left, status);
  const tick = () => {
    const seconds = secondsUntil(expiresAt, now());
    left.textContent = "Claude asks in the terminal " + (seconds ? "in " + seconds + " s." : "now.");
    if (seconds && (card.isConnected || !card.dataset.shown)) {
      if (card.isConnected) card.dataset.shown = "true";
      setTimeout(tick, 250);
    }
  };
  tick();
}
