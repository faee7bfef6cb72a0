/** The playback buttons: back, play, forward, speed, live. */

import { clock } from "../plain.js";
import { SPEEDS } from "../time.js";
import { attr, el, text } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const ICONS = new Map([ // paths in a box of 16 × 16; fonts often lack these characters
  ["play", "M4 2l9 6-9 6z"], ["pause", "M3 2h4v12H3zM9 2h4v12H9z"],
  ["promptBack", "M3 2h2v12H3zM13 2v12L6 8z"], ["promptOn", "M13 2h-2v12h2zM3 2v12l7-6z"],
  ["back", "M10 2L4 8l6 6 1.5-1.5L7 8l4.5-4.5z"], ["on", "M6 2l6 6-6 6-1.5-1.5L9 8 4.5 3.5z"],
]);

/**
 * Playback buttons in `host`. `actions`: step(±1), stepPrompt(±1), toggle() to play or pause, speed(n), live().
 * The caller calls `update` whenever the cursor has changed.
 */
export class Transport {
  constructor(host, actions) {
    this._speed = SPEEDS[0];
    const faster = () => SPEEDS[(SPEEDS.indexOf(this._speed) + 1) % SPEEDS.length];
    this._play = iconButton("play", "Play", actions.toggle);
    this._speeds = el("button", { class: "plain num", type: "button", title: "Speed" });
    this._speeds.addEventListener("click", () => actions.speed(faster()));
    this._live = el("button", { class: "plain live", type: "button", on: { click: () => actions.live() } });
    this._at = el("span", { class: "at num" });
    this.element = el("span", { class: "transport", role: "group", "aria-label": "Playback" },
      iconButton("promptBack", "Previous prompt", () => actions.stepPrompt(-1)),
      iconButton("back", "One event back", () => actions.step(-1), "event"),
      this._play,
      iconButton("on", "One event on", () => actions.step(1), "event"),
      iconButton("promptOn", "Next prompt", () => actions.stepPrompt(1)),
      this._speeds, this._at, this._live);
    host.replaceChildren(this.element);
  }

  /** Show the state of a Cursor (time.js). `ended`: the session is over, so that live is called its end. */
  update({ at, live, playing, speed }, ended) {
    this._speed = speed;
    setIcon(this._play, playing ? "pause" : "play", playing ? "Pause" : "Play");
    text(this._speeds, `×${speed}`);
    attr(this._speeds, "aria-label", `Speed ×${speed}`);
    text(this._live, ended ? "End" : "Live");
    this._live.title = ended ? "To the end of the session" : "Back to the present";
    attr(this._live, "aria-pressed", live);
    text(this._at, live ? "" : clock(at));
    this._at.hidden = live;
  }
}

function iconButton(icon, title, click, name = "") {
  const path = document.createElementNS(SVG, "path"), box = document.createElementNS(SVG, "svg");
  box.setAttribute("viewBox", "0 0 16 16");
  box.setAttribute("aria-hidden", "true");
  box.append(path);
  const button = el("button", { class: `plain ${name}`, type: "button", on: { click: () => click() } }, box);
  setIcon(button, icon, title);
  return button;
}

function setIcon(button, icon, title) {
  attr(button.firstChild.firstChild, "d", ICONS.get(icon));
  attr(button, "aria-label", title);
  button.title = title;
}
