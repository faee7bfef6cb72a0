/** The overlay that lists the keys. */

import { el } from "./dom.js";

/**
 * Open the overlay on `groups` = [{title, keys: [{keys: ["j", "k"], what}]}], with the sentences of `also` below them.
 *
 * Esc, ?, the button or a press outside closes it, and focus returns to where it was.
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

/** The timeline's keys and gestures, as a group of the overlay. */
export const TIME_KEYS = {
  title: "Timeline",
  keys: [
    { keys: ["Space"], what: "play, pause" },
    { keys: ["wheel"], what: "zoom at the pointer" },
    { keys: ["drag"], what: "pan; on the ruler or the cursor, move through time" },
    { keys: ["Shift", "drag"], what: "select a stretch of time" },
    { keys: ["←", "→"], what: "previous, next entry" },
    { keys: ["Shift", "←", "→"], what: "extend the selection" },
    { keys: ["+", "−", "0"], what: "zoom in, out, show all" },
    { keys: ["Home", "End"], what: "start, live" },
  ],
};
