/** The timeline of a session: what happened when, and the scrubber that moves the page through time. */

import { inside, pan, ticks, timeAt, whole, xOf, zoom } from "../axis.js";
import {
  agentLanes, boundsOf, callMarks, endOf, hasTimeline, neighbourTime, phasesIn, promptsIn, rowFinder,
  rowsToScroll, under,
} from "../lanes.js";
import { clock } from "../plain.js";
import { attr, prop, text } from "./dom.js";
import { gestures } from "./gestures.js";
import { LaneNames, tipFor } from "./lane_names.js";
import { AGENT_ROW, MAIN_ROW, RULER, drawPlot, readColours, rowAt } from "./plot.js";
import { rangeText, summaryOf, timelineParts } from "./timeline_parts.js";

const ROWS_IN_SIGHT = 5; // agents; if there are more, they scroll
const STEP = 2; // zoom factor of the buttons and of + and −
const LIVE = 6; // px; a click this close to the end means "live"
const PHONE = "(max-width: 760px)"; // as in style.css; there the timeline starts folded

/**
 * A timeline in `host`. `onSeek(ms | null)` is called when the user moves the cursor (null: live), `onRange([from, to]
 * | null)` when they select a stretch of time, and `onAgent(key)`, which is optional, when they press an agent's name
 * (not on a phone).
 *
 * `controls` is an element in its head for the caller's buttons. The timeline is hidden until it has anything to show.
 */
export class Timeline {
  constructor(host, { onSeek, onRange, onAgent = null }) {
    this._host = host;
    this._tell = { onSeek, onRange };
    this._view = null; // {from, to}, or null: all there is
    this._range = null; // [from, to]
    this._input = null; // what `update` was given last
    this._drawn = ""; // what the canvas shows, as text to compare
    this._moment = ""; // what the lanes were last scrolled for, as text to compare
    this._scrolled = 0; // where the timeline itself last scrolled the lanes to, in px
    this._frame = 0;
    this._stop = new AbortController();
    this._build(onAgent);
    this._listen();
    this.fold(matchMedia(PHONE).matches);
  }

  /**
   * Show `state`: always the newest one, for what comes after the cursor is drawn too. `cursorAt` is the moment that
   * the page shows, in ms, unless it is `live`. `now` is the time up to which the state is known: the clock while
   * connected, the time of the last event once the server is gone.
   *
   * Draws in the next animation frame. A state with another `startedAt` is another session, for which zoom and
   * selection are reset.
   */
  update(state, { live, cursorAt, now }) {
    const before = this._input?.state.startedAt ?? null;
    if (before !== null && before !== state.startedAt) this._view = this._range = null;
    this._input = { state, cursorAt: live ? null : cursorAt, end: endOf(state, Math.floor(now / 1000) * 1000) };
    this._schedule();
  }

  /** Show only the head, or everything again. */
  fold(folded) {
    this._parts.body.hidden = folded;
    attr(this._parts.foldButton, "aria-expanded", !folded);
    this._schedule();
  }

  /** Select [from, to], or nothing with null, without calling `onRange`: for a range that the address names. */
  select(range) {
    this._range = range;
    this._schedule();
  }

  /** Remove all elements and listeners. */
  destroy() {
    this._stop.abort();
    this._resizes.disconnect();
    this._themes.disconnect();
    cancelAnimationFrame(this._frame);
    this._host.replaceChildren();
  }

  _build(onAgent) {
    this._names = new LaneNames(matchMedia(PHONE).matches ? null : onAgent); // the rows are too low for a finger
    this._parts = timelineParts(this._names.element, {
      fold: () => this.fold(!this._parts.body.hidden), zoomOut: () => this._zoomBy(STEP),
      zoomIn: () => this._zoomBy(1 / STEP), all: () => this._look(null),
      zoomToRange: () => this._zoomToRange(), clear: () => this._choose(null),
    });
    this.controls = this._parts.controls;
    this._host.replaceChildren(this._parts.root);
  }

  _listen() {
    const redraw = () => { this._drawn = ""; this._schedule(); }, { signal } = this._stop;
    this._resizes = new ResizeObserver(() => this._schedule());
    this._resizes.observe(this._parts.plot);
    this._themes = new MutationObserver(redraw);
    this._themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, { signal });
    this._parts.scroller.addEventListener("scroll", () => this._schedule(), { signal });
    gestures(this._parts.plot, {
      click: (x) => this._seekTo(x),
      scrub: (x) => { this._seekTo(x); this._parts.tip.hidden = true; },
      pannable: () => this._view !== null || this._parts.scroller.scrollHeight > this._parts.scroller.clientHeight,
      pan: (dx, dy) => this._pan(dx, dy),
      select: (x, anchor) => this.select([x, anchor].map((each) => this._clampedTime(each)).sort((a, b) => a - b)),
      selected: () => this._choose(this._range),
      zoom: (factor, x) => this._zoomAt(factor, x),
      hover: (x, y) => this._hover(x, y),
      leave: () => { this._parts.tip.hidden = true; },
      cursorX: () => (this._input?.cursorAt == null ? null : xOf(this._shown, this._width, this._input.cursorAt)),
      key: (event) => this._key(event),
    }, signal);
  }

  get _bounds() {
    return boundsOf(this._input.state, this._input.end);
  }

  get _shown() {
    return this._view ?? whole(this._bounds);
  }

  get _width() {
    return this._parts.plot.clientWidth;
  }

  _schedule() {
    this._frame ||= requestAnimationFrame(() => { this._frame = 0; this._render(); });
  }

  _render() {
    if (!this._input) return;
    const { state } = this._input;
    this._parts.root.hidden = !hasTimeline(state);
    if (this._parts.root.hidden) return;
    text(this._parts.summary, summaryOf(state));
    this._parts.chip.hidden = !this._range;
    if (this._range) text(this._parts.rangeText, rangeText(this._range));
    if (this._parts.body.hidden) return;
    const lanes = agentLanes(state, this._input.end);
    const rows = Math.min(lanes.length, ROWS_IN_SIGHT);
    prop(this._parts.body, "--tl-height", `${RULER + MAIN_ROW + rows * AGENT_ROW + 1}px`);
    prop(this._parts.body, "--tl-hidden", `${(lanes.length - rows) * AGENT_ROW}px`);
    if (this._width < 20) return;
    this._follow(lanes);
    this._draw(lanes);
    this._place();
  }

  /**
   * Scroll the lanes to agents of the moment that is shown, when that moment has changed. Live, this happens only for a
   * new agent, and not to a reader who has scrolled.
   */
  _follow(lanes) {
    const { cursorAt, end } = this._input, { scroller } = this._parts, view = this._view;
    const moment = [cursorAt, view?.from, view?.to, cursorAt === null && lanes.length].join();
    if (moment === this._moment) return;
    this._moment = moment;
    const live = cursorAt === null && !view;
    if (live && Math.abs(scroller.scrollTop - this._scrolled) > 1) return;
    const at = cursorAt ?? end, span = view && !(at >= view.from && at <= view.to) ? view : { from: at, to: at };
    const first = Math.ceil(scroller.scrollTop / AGENT_ROW), row = rowsToScroll(lanes, span, first, ROWS_IN_SIGHT);
    if (row !== first) scroller.scrollTop = row * AGENT_ROW;
    this._scrolled = scroller.scrollTop;
  }

  /** Draw the canvas and the labels if anything about them has changed. */
  _draw(lanes) {
    const { state, end } = this._input, view = this._shown, width = this._width;
    const scrolled = this._parts.scroller.scrollTop;
    const height = RULER + MAIN_ROW + Math.min(lanes.length, ROWS_IN_SIGHT) * AGENT_ROW;
    const wanted = [state.seq, state.calls.size, end, view.from, view.to, width, height, scrolled].join();
    if (wanted === this._drawn) return;
    this._drawn = wanted;
    const first = Math.floor(scrolled / AGENT_ROW), rowOf = rowFinder(state, lanes);
    const inSight = lanes.slice(first, first + ROWS_IN_SIGHT + 1);
    const plot = {
      view, width, height, scrolled, ticks: ticks(view, width), phases: phasesIn(state, view, end), lanes: inSight,
      prompts: promptsIn(state, view), marks: callMarks(state, view, width, rowOf, end),
    };
    const ratio = devicePixelRatio || 1, context = this._parts.canvas.getContext("2d");
    this._parts.canvas.width = Math.round(width * ratio);
    this._parts.canvas.height = Math.round(height * ratio);
    context.scale(ratio, ratio);
    drawPlot(context, plot, readColours(this._parts.probes));
    this._names.show(this._parts.texts, plot, (at) => xOf(view, width, at));
    this._rowOf = rowOf;
    this._lanes = lanes;
  }

  /** Place what moves without redrawing the canvas: the cursor, the end, the selection. */
  _place() {
    const { state, cursorAt, end } = this._input, view = this._shown, width = this._width;
    const put = (element, at) => {
      const x = at === null ? -1 : xOf(view, width, at);
      element.hidden = x < -1 || x > width + 1 || at === null;
      prop(element, "--x", `${x.toFixed(1)}px`);
    };
    put(this._parts.line, cursorAt);
    put(this._parts.edge, end);
    this._parts.edge.dataset.kind = state.ended ? "end" : "now";
    this._parts.edge.dataset.live = String(cursorAt === null);
    const [from, to] = (this._range ?? [0, 0]).map((at) => Math.min(width, Math.max(0, xOf(view, width, at))));
    this._parts.box.hidden = !this._range;
    prop(this._parts.box, "--x", `${from}px`);
    prop(this._parts.box, "--width", `${Math.max(1, to - from)}px`);
    const bounds = this._bounds, at = cursorAt ?? end;
    attr(this._parts.plot, "aria-valuemin", 0);
    attr(this._parts.plot, "aria-valuemax", Math.round((bounds.to - bounds.from) / 1000));
    attr(this._parts.plot, "aria-valuenow", Math.round((at - bounds.from) / 1000));
    attr(this._parts.plot, "aria-valuetext", cursorAt === null ? (state.ended ? "the end" : "live") : clock(at));
  }

  _clampedTime(x) {
    const { from, to } = this._bounds;
    return Math.min(to, Math.max(from, timeAt(this._shown, this._width, x)));
  }

  _seekTo(x) {
    const { end } = this._input, view = this._shown;
    this._tell.onSeek(x >= xOf(view, this._width, end) - LIVE ? null : this._clampedTime(x));
  }

  _look(view) {
    this._view = view;
    this._parts.tip.hidden = true;
    this._schedule();
  }

  _pan(dx, dy) {
    const before = this._view?.from, scrolled = this._parts.scroller.scrollTop;
    this._parts.scroller.scrollTop -= dy;
    if (this._view) this._look(pan(this._view, (-dx / this._width) * (this._view.to - this._view.from), this._bounds));
    return before !== this._view?.from || scrolled !== this._parts.scroller.scrollTop;
  }

  _zoomAt(factor, x) {
    const before = this._shown, all = whole(this._bounds);
    const view = zoom(before, timeAt(before, this._width, x), factor, this._bounds);
    this._look(view.to - view.from >= all.to - all.from ? null : view);
    return view.from !== before.from || view.to !== before.to;
  }

  /** Zoom around the cursor if it is in sight, else around the middle. */
  _zoomBy(factor) {
    const at = this._input.cursorAt ?? this._input.end, x = xOf(this._shown, this._width, at);
    this._zoomAt(factor, x >= 0 && x <= this._width ? x : this._width / 2);
  }

  _zoomToRange() {
    const [from, to] = this._range, room = (to - from) * 0.1;
    const middle = xOf(this._shown, this._width, (from + to) / 2), shown = this._shown;
    this._zoomAt((to - from + 2 * room) / (shown.to - shown.from), middle);
    if (!this._view) return;
    const wide = this._view.to - this._view.from;
    this._look(inside({ from: from - room, to: from - room + wide }, this._bounds));
  }

  _choose(range) {
    this.select(range);
    this._tell.onRange(range);
  }

  _hover(x, y) {
    if (!this._lanes) return;
    const { state, end } = this._input, row = rowAt(y, this._parts.scroller.scrollTop);
    const found = under({ state, view: this._shown, width: this._width, rowOf: this._rowOf, end }, row, x);
    const { from, to } = this._bounds;
    this._parts.tip.hidden = found.at < from || found.at > to || row > this._lanes.length;
    if (this._parts.tip.hidden) return;
    this._parts.tip.replaceChildren(...tipFor(found, row === 0 ? null : this._lanes[row - 1], end));
    const left = this._parts.plot.offsetLeft + x, room = this._parts.body.clientWidth - this._parts.tip.offsetWidth - 4;
    prop(this._parts.tip, "--x", `${Math.max(4, Math.min(left + 12, room))}px`);
  }

  _key(event) {
    const keys = new Map([
      ["ArrowLeft", () => this._stepBy(-1, event.shiftKey)], ["ArrowRight", () => this._stepBy(1, event.shiftKey)],
      ["Home", () => this._tell.onSeek(this._bounds.from)], ["End", () => this._tell.onSeek(null)],
      ["+", () => this._zoomBy(1 / STEP)], ["=", () => this._zoomBy(1 / STEP)], ["-", () => this._zoomBy(STEP)],
      ["0", () => this._look(null)], ["Escape", this._range ? () => this._choose(null) : null],
    ]);
    const action = keys.get(event.key);
    if (action) action();
    return Boolean(action);
  }

  /** Move the cursor to the neighbouring entry of the conversation; with Shift, move the end of the selection. */
  _stepBy(direction, selects) {
    const { state, cursorAt, end } = this._input, from = cursorAt ?? end;
    if (!selects) return this._tell.onSeek(neighbourTime(state, from, direction));
    const [low, high] = this._range ?? [from, from];
    const at = neighbourTime(state, high, direction) ?? (direction > 0 ? end : low);
    this._choose(this._range ? [low, Math.max(low, at)] : [Math.min(from, at), Math.max(from, at)]);
  }
}
