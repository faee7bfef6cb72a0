// A table of sessions whose rows stay the same elements while what they say changes, so that no click is lost.

import { el, text, attr, shape, arrange } from "./dom.js";

const HEADS = ["State", "Session", "Where", "What it does", "Since", "Todos", "Agents", "Context", "Cost"];

export class SessionTable {
  /** `choose(id)` is called when a session's name is clicked. */
  constructor(choose) {
    const heads = HEADS.map((head) => el("th", { scope: "col", text: head }));
    this._choose = choose;
    this._rows = new Map(); // session id → {root, cells}
    this._head = el("thead", {}, el("tr", {}, heads));
    this._bodies = new Map(); // key of a body → tbody
    this.root = el("table", {}, this._head);
  }

  /**
   * @param {{key: string|null, before?: Element, rows: Object[], after?: Element}[]} bodies `before` and `after`: table
   *   rows around those of the sessions; a row is what cellsOf() in overview.js makes of a session
   */
  draw(bodies) {
    const ids = new Set(bodies.flatMap((body) => body.rows.map((row) => row.id))),
      keys = new Set(bodies.map((body) => body.key));
    for (const id of this._rows.keys()) if (!ids.has(id)) this._rows.delete(id);
    for (const key of this._bodies.keys()) if (!keys.has(key)) this._bodies.delete(key);
    const made = bodies.map(({ key, before, rows, after }) => {
      if (!this._bodies.has(key)) this._bodies.set(key, el("tbody"));
      const body = this._bodies.get(key);
      arrange(body, [before, ...rows.map((row) => this._row(row)), after].filter(Boolean));
      return body;
    });
    arrange(this.root, [this._head, ...made]);
  }

  _row(row) {
    if (!this._rows.has(row.id)) this._rows.set(row.id, this._make(row.id));
    const { root, mark, word, name, place, doing, numbers } = this._rows.get(row.id);
    attr(root, "data-mood", row.mood);
    text(mark, row.mark);
    text(word, row.word);
    text(name, row.name);
    text(place, row.place);
    text(doing, row.doing);
    for (const cell of [place, doing]) attr(cell, "title", cell.textContent); // they are cut where the window is narrow
    numbers.forEach((cell, i) => text(cell, row.numbers[i]));
    return root;
  }

  _make(id) {
    const parts = {
      mark: shape(""),
      word: el("span"),
      name: el("button", {
        type: "button", class: "open data cut", data: { session: id }, on: { click: () => this._choose(id) },
      }),
      place: el("td", { class: "place data cut" }),
      doing: el("td", { class: "doing data cut" }),
      numbers: [0, 1, 2, 3, 4].map((i) => el("td", { class: "num n" + i })),
    };
    const { mark, word, name, place, doing, numbers } = parts;
    const first = [el("td", { class: "state" }, mark, word), el("th", { scope: "row" }, name)];
    parts.root = el("tr", {}, first, place, doing, numbers);
    return parts;
  }
}

/** A row across the whole table. */
export const wideRow = (kind, tag, content) =>
  el("tr", { class: kind }, el(tag, { colspan: HEADS.length, ...(tag === "th" && { scope: "rowgroup" }) }, content));
