import { el } from "./dom.js";
import { brief } from "../reduce.js";
export function renderCall(call) {
  const mark = call.ok === null ? "●" : call.ok ? "✓" : "✕";
  return el("details", { class: "tool" }, el("summary", {}, mark + " " + call.tool + " " + brief(call.input)), el("pre", { text: call.summary }));
}
export const foldCalls = (rows) => rows;
