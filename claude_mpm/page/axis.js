/** The stretch of time that the timeline shows, and the ticks below it. Pure. Times are ms since the epoch. */

const NARROWEST = 500; // ms; the closest zoom, below which there is nothing left to tell apart
const MARGIN = 0.04; // of the view's width; panning may leave this much empty beyond the session
const TICK_WIDTH = 76; // px; a label and the space beside it
const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const STEPS = [
  100, 200, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE,
  10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY,
  90 * DAY, 365 * DAY,
];

/** Pixels from the left edge of a plot `width` px wide that shows `view` = {from, to}. */
export const xOf = (view, width, at) => ((at - view.from) / (view.to - view.from)) * width;

/** The time at `x` px from the left edge. */
export const timeAt = (view, width, x) => view.from + (x / width) * (view.to - view.from);

/** The view of all of `bounds` = {from, to}. */
export function whole(bounds) {
  return { from: bounds.from, to: Math.max(bounds.to, bounds.from + NARROWEST) };
}

/** Zoom in (`factor` < 1) or out around `at`, which keeps its place on the screen. */
export function zoom(view, at, factor, bounds) {
  const all = whole(bounds), widest = all.to - all.from, span = view.to - view.from;
  const wanted = Math.min(Math.max(span * factor, NARROWEST), widest);
  if (wanted >= widest) return all;
  const from = at - ((at - view.from) / span) * wanted;
  return inside({ from, to: from + wanted }, bounds);
}

/** Move the view by `ms`, no further than a margin beyond `bounds`. */
export const pan = (view, ms, bounds) => inside({ from: view.from + ms, to: view.to + ms }, bounds);

/** The view, moved by as much as it takes to lie within `bounds` and the margin. */
export function inside(view, bounds) {
  const all = whole(bounds), span = view.to - view.from;
  if (span >= all.to - all.from) return all;
  const margin = span * MARGIN;
  const from = Math.min(Math.max(view.from, all.from - margin), all.to + margin - span);
  return { from, to: from + span };
}

/**
 * Round times within the view, as far apart as their labels need: [{at, label}].
 *
 * Times are round in local time; midnight is labelled with its date. `offsetAt` gives the zone's offset in minutes, as
 * Date.getTimezoneOffset does.
 */
export function ticks(view, width, offsetAt = (ms) => new Date(ms).getTimezoneOffset()) {
  const span = view.to - view.from, room = Math.max(1, Math.floor(width / TICK_WIDTH));
  const step = STEPS.find((each) => span / each <= room) ?? Math.ceil(span / room / DAY) * DAY;
  const shift = -offsetAt(view.from) * MINUTE, found = [];
  for (let local = Math.ceil((view.from + shift) / step) * step; local <= view.to + shift; local += step)
    found.push({ at: local - shift, label: label(local, step) });
  return found;
}

/** `local` is local time in ms, as if it were UTC. */
function label(local, step) {
  const iso = new Date(local).toISOString(); // 2026-03-01T09:00:00.000Z
  if (local % DAY === 0) return iso.slice(0, 10);
  if (step >= MINUTE) return iso.slice(11, 16);
  return step >= SECOND ? iso.slice(11, 19) : iso.slice(11, 21);
}
