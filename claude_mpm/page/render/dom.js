// Building and updating elements. Everything a session says reaches the document through this module as text.

import { clean } from "../plain.js";

/** Attributes that el() may set. Names are fixed here: data never chooses one. */
const ATTRIBUTES = new Set([
  "id",
  "role",
  "type",
  "tabindex",
  "for",
  "name",
  "placeholder",
  "autocomplete",
  "spellcheck",
  "inputmode",
  "hidden",
  "disabled",
  "open",
  "checked",
  "value",
  "datetime",
  "href",
  "rel",
  "target",
  "download",
  "colspan",
  "scope",
  "dir",
  "aria-label",
  "aria-hidden",
  "aria-pressed",
  "aria-expanded",
  "aria-current",
  "aria-selected",
  "aria-controls",
  "aria-labelledby",
  "aria-live",
  "aria-setsize",
  "aria-posinset",
  "aria-describedby",
  "aria-haspopup",
  "aria-modal",
  "aria-activedescendant",
  "aria-valuemin",
  "aria-valuemax",
  "aria-valuenow",
  "aria-valuetext",
  "aria-orientation",
]);

/**
 * Create an element.
 *
 * @param {string} tag fixed by the caller, never data
 * @param {{class?: string, text?: string, title?: string, data?: Object<string, string>,
 *   on?: Object<string, function(Event): void>}} [props] and any of ATTRIBUTES; null, undefined and false leave it
 *   out, true sets it empty
 * @param {...(Node|string|number|null|undefined|false)} children strings become text nodes, with controls made visible
 * @returns {HTMLElement}
 */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = clean(String(value));
    else if (name === "title") element.title = clean(String(value));
    else if (name === "data")
      for (const [key, text] of Object.entries(value)) element.dataset[key] = clean(String(text));
    else if (name === "on")
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (ATTRIBUTES.has(name)) element.setAttribute(name, value === true ? "" : clean(String(value)));
    else throw new TypeError("el() sets no attribute named " + name);
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : clean(String(child)));
  }
  return element;
}

/** Set an element's text if it differs. Returns the element. */
export function text(element, value) {
  const wanted = clean(String(value ?? ""));
  if (element.textContent !== wanted) element.textContent = wanted;
  return element;
}

/** Set or, with null, remove an attribute if it differs. `name` is fixed by the caller. */
export function attr(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, clean(String(value)));
}

/** Set a custom property, for the few sizes and positions that only a script knows. */
export function prop(element, name, value) {
  if (element.style.getPropertyValue(name) !== String(value)) element.style.setProperty(name, String(value));
}

/** A one-character state mark. Decoration: the words beside it say the same. */
export const shape = (mark) => el("span", { class: "shape", "aria-hidden": "true", text: mark });

/** Make `parent` have exactly `nodes` as its children, moving as few as possible. */
export function arrange(parent, nodes) {
  const keepers = new Set(nodes);
  let at = parent.firstChild;
  const dropStrangers = () => {
    while (at && !keepers.has(at)) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };
  for (const node of nodes) {
    dropStrangers();
    if (at === node) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
