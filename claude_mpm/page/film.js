// The pictures of a terminal in an exported page, in order of time. Pure: no DOM, no clock.

import { dict, list, num, str } from "./plain.js";

const MAX_ROWS = 1000;

/** What the terminal showed at any time. Pictures are differences; every hundredth or so is whole. */
export class Film {
  constructor() {
    this._pictures = []; // {at, data}
    this._index = -1; // the last one that is in _screen
    this._screen = null;
  }

  /** Take the next picture: the data of a `claude.screen`, and its time in ms. */
  add(at, data) {
    this._pictures.push({ at, data: dict(data) });
  }

  /** How many pictures there are. */
  get length() {
    return this._pictures.length;
  }

  /**
   * The picture at a time in ms, as session.screen holds one; the first one for times before it. Null without pictures.
   */
  at(ms) {
    if (!this._pictures.length) return null;
    let low = 0, high = this._pictures.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this._pictures[middle].at <= ms) low = middle + 1; else high = middle;
    }
    const wanted = Math.max(low - 1, 0);
    if (wanted < this._index) this._index = this._wholeBefore(wanted) - 1;
    else this._index = Math.max(this._index, this._wholeBefore(wanted) - 1);
    while (this._index < wanted) this._draw(this._pictures[++this._index]);
    return this._screen;
  }

  _wholeBefore(index) {
    while (index > 0 && num(this._pictures[index].data.base)) index--;
    return index;
  }

  _draw({ at, data }) {
    const rows = Math.min(num(data.rows) || 24, MAX_ROWS), whole = !num(data.base) || !this._screen;
    const lines = whole ? Array(rows).fill(null) : this._screen.lines.slice();
    for (const entry of list(data.lines))
      if (Array.isArray(entry) && entry[0] >= 0 && entry[0] < rows) lines[entry[0]] = list(entry[1]);
    const about = { cursor: dict(data.cursor), title: str(data.title), at };
    this._screen = { frame: num(data.frame) || 0, cols: num(data.cols) || 80, lines, ...about };
  }
}
