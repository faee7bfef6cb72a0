// Calling the reader: the tab's title and icon, notifications, sound. Works in a hidden tab, which draws nothing.

import { clean, line, list, str } from "./plain.js";
import { store, view, prefs, needy, waitingFor, waitingText, mood } from "./store.js";
import { labelOf } from "./names.js";
import { brief } from "./text/phrases.js";

const ICONS = new Map([
  ["calm", "%237f8cc9"],
  ["needs", "%23e08a00"],
  ["off", "%23999999"],
]);
const SAID = 5; // sessions named to a screen reader at a time
const CALLED = 5; // notifications at a time: whoever opens a hub's page is not called by everybody at once
const alerts = new Map(); // key of a request → its notification, or null when the reader was looking
let icon = "";

/** Say who needs the reader, whenever data changed. `choose(id)` is called when a notification is clicked. */
export function attend(choose) {
  const waiting = needy(),
    selected = store.sessions.get(view.session);
  document.title = titleOf(waiting, selected);
  setIcon(waiting.length ? "needs" : selected && !selected.over ? "calm" : "off");
  const said = waiting.slice(0, SAID).map((s) => clean(labelOf(s) + " " + waitingText(waitingFor(s)))),
    others = waiting.length - said.length;
  const say = document.getElementById("say");
  const words = said.join(". ") + (others > 0 ? ". " + others + " more sessions need you" : "");
  if (say.textContent !== words) say.textContent = words;
  const keys = new Set(waiting.map(keyOf));
  for (const [key, note] of alerts) {
    if (keys.has(key)) continue;
    if (note) note.close();
    alerts.delete(key);
  }
  const fresh = waiting.filter((session) => !alerts.has(keyOf(session)));
  if (fresh.length && prefs.sound) chime();
  fresh.forEach((session, i) => alerts.set(keyOf(session), i < CALLED ? call(session, choose) : null));
}

/** A request by what is asked: through a hub, its input may first come cut and then whole. */
function keyOf(session) {
  const { kind, tool, input, request_id: request } = waitingFor(session);
  return [session.id, kind, tool, request || brief(input) || JSON.stringify(input)].join("\n");
}

function titleOf(waiting, selected) {
  if (waiting.length)
    return "(" + waiting.length + ") " + clean(labelOf(waiting[0]) + " " + waitingText(waitingFor(waiting[0])));
  return (selected ? clean(labelOf(selected)) + " · " + mood(selected)[2] + " – " : "") + "claude-mpm";
}

function call(session, choose) {
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
