// The box in which a reader enters Claude's next prompt, where that is allowed and Claude is idle.

import { el, text, attr } from "./dom.js";
import { redraw, stateOf } from "../store.js";
import { mayControl } from "./answers.js";

const MAX = 16000; // characters; a command has 64 KiB at most, and a character has four bytes
const form = document.getElementById("prompt");
const field = el("textarea", {
  id: "prompt-text", placeholder: "Next prompt for Claude", autocomplete: "off",
  "aria-label": "Next prompt for Claude", "aria-describedby": "prompt-note",
  on: { keydown: onKey, input: redraw },
});
const note = el("p", { id: "prompt-note", role: "status" }),
  send = el("button", { class: "primary", text: "Send" });
form.append(field, send, note);
form.addEventListener("submit", onSubmit);
field.rows = 2;
field.maxLength = MAX;
let shown = null; // the session whose box this is
let sending = false;
let told = ""; // what became of the last prompt, until the next is typed
const drafts = new WeakMap(); // session → what was typed for it

/** Draw the box for a session; `live`: the page shows what happens now. */
export function renderPrompt(session, live) {
  if (shown !== session) {
    if (shown) drafts.set(shown, field.value);
    shown = session;
    field.value = drafts.get(session) || "";
    told = "";
  }
  const { status, launchMethod } = session.shown,
    idle = status.claude_status === "running" && status.activity === "idle";
  const may = mayControl(session) && live && launchMethod === "subprocess" && stateOf(session) === session.shown;
  form.hidden = !may || !(idle || field.value || told);
  if (form.hidden) return;
  send.disabled = sending || !idle || !field.value.trim();
  attr(send, "title", "Ctrl-Enter");
  const busy = idle ? "" : "Claude is " + (status.activity || "starting") + "; send the prompt when it is idle.";
  text(note, told || busy);
}

function onKey(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit();
}

async function onSubmit(event) {
  event.preventDefault();
  const session = shown,
    prompt = field.value.trim();
  if (!prompt || sending) return;
  sending = true;
  told = "Sending the prompt…";
  redraw();
  try {
    await session.link.request("send_prompt", { text: prompt });
    told = "";
    if (shown === session) field.value = "";
    else drafts.delete(session);
  } catch (error) {
    told = "Not sent: " + error.message + ".";
  }
  sending = false;
  redraw();
}
