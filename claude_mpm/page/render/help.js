/** The overlay that lists the keys. */

import { el } from "./dom.js";

/**
 * Open the overlay with `groups` = [{title, keys: [{keys: ["j", "k"], what}]}]; `also` are sentences below them.
 *
 * Esc, the button and a press beside it close it, and the focus returns to where it was.
 *
 * @returns {HTMLDialogElement}
 */
export function openHelp(groups, also = []) {
  document.querySelector("dialog.help")?.close();
  const before = document.activeElement;
  const close = el("button", { class: "plain", type: "button", text: "Close", on: { click: () => dialog.close() } });
  const title = el("h2", { id: "help-title", text: "Keys" });
  const dialog = el("dialog", { class: "help", "aria-labelledby": "help-title" },
    el("header", {}, title, close), el("div", { class: "groups" }, groups.map(section)),
    also.map((sentence) => el("p", { text: sentence })));
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the page's keys mean nothing here
    if (event.key === "?") dialog.close();
  });
  dialog.addEventListener("pointerdown", (event) => { if (event.target === dialog) dialog.close(); }); // the backdrop
  dialog.addEventListener("close", () => { dialog.remove(); before?.focus?.(); });
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
  return dialog;
}

function section({ title, keys }) {
  const line = ({ keys, what }) => [
    el("dt", {}, keys.flatMap((key, i) => [i > 0 && " ", el("kbd", { text: key })])), el("dd", { text: what })];
  return el("section", {}, el("h3", { text: title }), el("dl", {}, keys.flatMap(line)));
}

/** What the timeline and playback listen to, for the overlay's list. */
export const TIME_KEYS = {
  title: "Timeline",
  keys: [
    { keys: ["wheel"], what: "zoom at the pointer" },
    { keys: ["drag"], what: "pan; on the ruler or the cursor, move through time" },
    { keys: ["Shift", "drag"], what: "select a stretch of time" },
    { keys: ["←", "→"], what: "previous, next thing that happened" },
    { keys: ["Shift", "←", "→"], what: "the same, selecting" },
    { keys: ["+", "−", "0"], what: "zoom in, out, all" },
    { keys: ["Home", "End"], what: "start, live" },
  ],
};
