/** The command palette: type a few letters, press Enter. */

import { search } from "../palette.js";
import { attr, el, text } from "./dom.js";

const PAGE = 8; // matches that Page Up and Page Down pass over
let serial = 0; // keeps the element ids of one palette apart from those of the next

/**
 * Open the palette on `items` = [{label, hint, run()}]; `hint`, which is optional, gives the kind of thing or its key.
 *
 * Focus is trapped until the palette closes, and then returns to where it was, before `run` is called. A palette that
 * is already open is closed.
 *
 * @returns {HTMLDialogElement}
 */
export function openPalette(items) {
  document.querySelector("dialog.palette")?.close();
  const id = `palette-${++serial}`, before = document.activeElement;
  const list = el("ul", { id, role: "listbox", "aria-label": "Matches" });
  const input = el("input", {
    type: "text", role: "combobox", "aria-label": "Command", placeholder: "Go to a session or a view, or do something",
    "aria-expanded": "true", "aria-controls": id, autocomplete: "off", spellcheck: "false" });
  attr(input, "aria-autocomplete", "list");
  const none = el("p", { class: "none", role: "status" });
  const dialog = el("dialog", { class: "palette", "aria-label": "Command palette" }, input, list, none);
  let matches = [], chosen = 0;

  const choose = (index) => {
    chosen = matches.length ? (index + matches.length) % matches.length : 0;
    [...list.children].forEach((option, i) => attr(option, "aria-selected", i === chosen));
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
    attr(input, "aria-activedescendant", matches.length ? `${id}-${chosen}` : null);
  };
  const show = () => {
    matches = search(input.value, items);
    list.replaceChildren(...matches.map((match, i) => option(match, `${id}-${i}`)));
    text(none, matches.length ? "" : "Nothing matches.");
    none.hidden = matches.length > 0;
    choose(0);
  };
  const run = (index) => {
    const match = matches[index];
    if (!match) return;
    dialog.close();
    match.item.run();
  };
  const moves = new Map([
    ["ArrowDown", () => choose(chosen + 1)], ["ArrowUp", () => choose(chosen - 1)],
    ["PageDown", () => choose(Math.min(chosen + PAGE, matches.length - 1))],
    ["PageUp", () => choose(Math.max(chosen - PAGE, 0))],
    ["Tab", () => choose(chosen + 1)], ["Enter", () => run(chosen)],
  ]);
  input.addEventListener("input", show);
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the page's keys mean nothing here
    const composing = event.isComposing; // then Enter completes a character, not the choice
    const move = event.key === "Tab" && event.shiftKey ? () => choose(chosen - 1) : moves.get(event.key);
    if (!move || composing) return;
    event.preventDefault();
    move();
  });
  list.addEventListener("pointermove", (event) => choose(indexOf(list, event.target, chosen)));
  list.addEventListener("click", (event) => run(indexOf(list, event.target, -1)));
  dialog.addEventListener("pointerdown", (event) => { if (event.target === dialog) dialog.close(); }); // the backdrop
  dialog.addEventListener("close", () => { dialog.remove(); before?.focus?.(); });
  document.body.append(dialog);
  show();
  dialog.showModal();
  input.focus();
  return dialog;
}

function indexOf(list, target, otherwise) {
  const index = [...list.children].findIndex((option) => option.contains(target));
  return index < 0 ? otherwise : index;
}

function option({ item, at }, id) {
  const hits = new Set(at), label = el("span", { class: "cut data" });
  let from = 0;
  while (from < item.label.length) {
    let to = from + 1;
    while (to < item.label.length && hits.has(to) === hits.has(from)) to++;
    label.append(el(hits.has(from) ? "mark" : "span", { text: item.label.slice(from, to) }));
    from = to;
  }
  return el("li", { id, role: "option" }, label, item.hint && el("span", { class: "hint cut data", text: item.hint }));
}
