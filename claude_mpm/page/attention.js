// Calling the reader: the tab's title and icon, notifications, sound. Works in a hidden tab, which draws nothing.

import { clean, line, list, str } from "./plain.js";
import { store, view, prefs, needy, waitingFor, waitingText, labelOf, mood } from "./store.js";
import { brief } from "./phrases.js";

const ICONS = new Map([
  ["calm", "%237f8cc9"],
  ["needs", "%23e08a00"],
  ["off", "%23999999"],
]);
const alerts = new Map(); // key of a request → its notification, or null when the reader was looking
let icon = "";

/** Say who needs the reader, whenever data changed. `choose(id)` is called when a notification is clicked. */
export function attend(choose) {
  const waiting = needy(),
    selected = store.sessions.get(view.session);
  document.title = titleOf(waiting, selected);
  setIcon(waiting.length ? "needs" : selected && !selected.over ? "calm" : "off");
  const said = waiting.map((s) => clean(labelOf(s) + " " + waitingText(waitingFor(s)))).join(". ");
  const say = document.getElementById("say");
  if (say.textContent !== said) say.textContent = said;
  const keyOf = (s) => [s.id, waitingFor(s).kind, waitingFor(s).tool, JSON.stringify(waitingFor(s).input)].join("\n");
  const keys = new Set(waiting.map(keyOf));
  for (const [key, note] of alerts) {
    if (keys.has(key)) continue;
    if (note) note.close();
    alerts.delete(key);
  }
  for (const session of waiting) if (!alerts.has(keyOf(session))) alerts.set(keyOf(session), call(session, choose));
}

function titleOf(waiting, selected) {
  if (waiting.length)
    return "(" + waiting.length + ") " + clean(labelOf(waiting[0]) + " " + waitingText(waitingFor(waiting[0])));
  return (selected ? clean(labelOf(selected)) + " · " + mood(selected)[2] + " – " : "") + "claude-mpm";
}

function call(session, choose) {
  if (prefs.sound) chime();
  const looking = !document.hidden && document.hasFocus() && view.session === session.id;
  if (looking || !("Notification" in window) || Notification.permission !== "granted") return null;
  const waiting = waitingFor(session);
  try {
    const body = clean(brief(waiting.input) || line(questionOf(waiting.input) || waiting.message));
    const note = new Notification(clean(labelOf(session) + " " + waitingText(waiting)), { body, tag: session.id });
    note.onclick = () => {
      window.focus();
      choose(session.id);
      note.close();
    };
    return note;
  } catch {
    return null; // some phones have the class but refuse to make one
  }
}

/** The first question of an AskUserQuestion call's input, or "". */
export const questionOf = (input) => str((list(input && input.questions)[0] || {}).question);

function setIcon(name) {
  if (icon === name) return;
  icon = name;
  const shape = name === "needs" ? "<path d='M8 0l8 8-8 8-8-8z' fill='" : "<circle cx='8' cy='8' r='6' fill='";
  document.getElementById("icon").href =
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>" +
    shape +
    ICONS.get(name) +
    "'/></svg>";
}

let audio = null;
/** Two short notes. Browsers allow sound only after the reader has clicked or typed on the page. */
export function chime() {
  audio = audio || new AudioContext();
  audio.resume();
  for (const [delay, hertz] of [
    [0, 660],
    [0.14, 880],
  ]) {
    const tone = audio.createOscillator(),
      gain = audio.createGain(),
      at = audio.currentTime + delay;
    tone.frequency.value = hertz;
    gain.gain.setValueAtTime(0.0001, at);
    gain.gain.exponentialRampToValueAtTime(0.12, at + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.0001, at + 0.3);
    tone.connect(gain).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.32);
  }
}
