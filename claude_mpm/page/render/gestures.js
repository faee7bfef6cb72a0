/** The pointer, the wheel and the keys on the timeline's plot, told as what they mean. */

import { RULER } from "./plot.js";

const CLICK = 4; // px; a press that moves less is a click
const GRIP = 6; // px around the cursor's line where it can be taken hold of
const WHEEL = 0.0015; // zoom per px of wheel: a notch of 100 px is 16 %
const PINCH = 4; // a trackpad's pinch arrives as a wheel with Ctrl, in smaller steps

/**
 * Listen on `plot` until `signal` aborts. `actions`, all in px from the plot's left or top edge:
 *
 * - click(x), scrub(x): move the cursor, once or while dragging
 * - pannable(): whether something is out of sight; pan(dx, dy) moves to it and returns whether it moved
 * - select(x, anchor): a range between the two; selected(): the range is chosen
 * - zoom(factor, x): returns whether it changed anything; hover(x, y) and leave()
 * - cursorX(): where the cursor's line is, or null; key(event): returns whether it was used
 */
export function gestures(plot, actions, signal) {
  let press = null; // {id, x, y, lastX, lastY, mode, moved}
  const place = (event) => {
    const box = plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const listen = (type, listener, options) => plot.addEventListener(type, listener, { signal, ...options });

  listen("pointerdown", (event) => {
    if (event.button !== 0 || press) return;
    const [x, y] = place(event), grip = actions.cursorX();
    const held = y < RULER || (grip !== null && Math.abs(x - grip) <= GRIP);
    // Panning what is all in sight would do nothing, so there a drag moves the cursor instead.
    const mode = event.shiftKey ? "select" : held || !actions.pannable() ? "scrub" : "pan";
    press = { id: event.pointerId, x, y, lastX: x, lastY: y, mode, moved: false };
    plot.setPointerCapture(event.pointerId);
  });
  listen("pointermove", (event) => {
    const [x, y] = place(event);
    if (!press) return actions.hover(x, y);
    if (event.pointerId !== press.id) return;
    press.moved ||= Math.hypot(x - press.x, y - press.y) >= CLICK;
    if (press.moved) drag(press, x, y, actions);
  });
  listen("pointerup", (event) => {
    if (event.pointerId !== press?.id) return;
    const { moved, mode, x } = press;
    press = null;
    plot.releasePointerCapture(event.pointerId);
    if (!moved) actions.click(x);
    else if (mode === "select") actions.selected();
  });
  listen("pointercancel", () => { press = null; });
  listen("pointerleave", () => { if (!press) actions.leave(); });
  listen("wheel", (event) => {
    const [x] = place(event), sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    const pans = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const factor = Math.exp(event.deltaY * WHEEL * (event.ctrlKey ? PINCH : 1) * (event.deltaMode === 1 ? 16 : 1));
    const used = pans ? actions.pan(-sideways, 0) : actions.zoom(factor, x);
    if (used || event.ctrlKey) event.preventDefault(); // else the page scrolls on
  }, { passive: false });
  listen("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !actions.key(event)) return;
    event.preventDefault();
    event.stopPropagation(); // the page's own ←, → and Esc mean something else
  });
}

function drag(press, x, y, actions) {
  const dx = x - press.lastX, dy = y - press.lastY;
  press.lastX = x;
  press.lastY = y;
  if (press.mode === "select") actions.select(x, press.x);
  else if (press.mode === "scrub") actions.scrub(x);
  else actions.pan(dx, dy);
}
