import { el } from "./dom.js";
export function renderMarkdown(text) {
  const out = document.createDocumentFragment();
  out.append(el("p", { class: "data", text }));
  return out;
}
