/** Turns pointer, wheel and key events on the timeline's plot into what the user means by them. */

import { RULER } from "./plot.js";

const CLICK = 4; // px; a press that moves less than this is a click
const GRIP = 6; // px on either side of the cursor's line within which it can be dragged
const WHEEL = 0.0015; // zoom per px of wheel movement: a notch of 100 px is 16 %
const PINCH = 4; // a trackpad's pinch arrives as wheel events with Ctrl, in smaller steps

/**
 * Listen on `plot` until `signal` aborts. Coordinates are px from the plot's left and top edges. `actions`:
 *
 * - click(x), scrub(x): move the cursor, once or while dragging
 * - pannable(): whether anything is out of sight; pan(dx, dy): move the view, and return whether it moved
 * - select(x, anchor): the selection while dragging; selected(): the drag is over
 * - zoom(factor, x): returns whether the view changed
 * - hover(x, y), leave(): the pointer moved without a button, or went away
 * - cursorX(): where the cursor's line is, or null
 * - key(event): returns whether the key meant anything
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
    // When everything is in sight there is nothing to pan, so a drag moves the cursor instead.
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
    if (used || event.ctrlKey) event.preventDefault(); // otherwise the page scrolls
  }, { passive: false });
  listen("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !actions.key(event)) return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere on the page, these keys mean something else
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
