// One block of the overview: a heading and a table, with the rows of each group, and a row for what is not shown.

import { el, text } from "./dom.js";
import { plural } from "../plain.js";
import { redraw, waitingFor } from "../store.js";
import { share } from "../groups.js";
import { fillMachine, machineHead } from "./machine_head.js";
import { Opened, fillMore, moreButton } from "./more.js";
import { SessionTable, wideRow } from "./table.js";

const SHOWN = 36; // rows of a block
const GROUPS = 16; // machines of a block
const opened = new Opened(24);

export class Block {
  constructor(name, choose) {
    this._name = name;
    this._title = el("h2");
    this._table = new SessionTable(choose);
    this._heads = new Map(); // key of a group → {root, row} of its heading
    this._mores = new Map(); // key of a group → {button, row}
    this._rest = null;
    this.root = el("section", {}, this._title, this._table.root);
  }

  /**
   * @param {{key: string, machine: string|null, sessions: Object[], all: Object[]}[]} groups `machine` is null where
   *   there is one group without a heading; `all`: also the sessions that stand in another block
   * @param {function(Object): Object} rowOf makes the row of a session; see SessionTable
   */
  draw(groups, rowOf) {
    const byMachine = groups[0].machine !== null,
      { groups: shared, rest } = share(groups, { budget: SHOWN, mostGroups: GROUPS, must: () => false, opened });
    const total = groups.reduce((sum, group) => sum + group.sessions.length, 0);
    text(this._title, this._name + " · " + (byMachine ? groups.length : total));
    const bodies = shared.map((group) => ({
      key: group.key,
      before: byMachine ? this._head(group) : null,
      rows: group.shown.map(rowOf),
      after: group.hidden.length ? this._more(group) : null,
    }));
    if (rest.length) bodies.push({ key: null, rows: [], after: this._others(rest) });
    this._table.draw(bodies);
    for (const parts of [this._heads, this._mores])
      for (const key of parts.keys()) if (!shared.some((group) => group.key === key)) parts.delete(key);
  }

  _head(group) {
    if (!this._heads.has(group.key)) {
      const head = machineHead();
      this._heads.set(group.key, { head, row: wideRow("machine", "th", head.root) });
    }
    const { head, row } = this._heads.get(group.key);
    fillMachine(head, { machine: group.machine, sessions: group.all });
    return row;
  }

  _more({ key, hidden }) {
    if (!this._mores.has(key)) {
      const button = moreButton(() => {
        opened.open(key);
        redraw();
      });
      this._mores.set(key, { button, row: wideRow("rest", "td", button) });
    }
    const { button, row } = this._mores.get(key);
    button.disabled = opened.isFull(key);
    fillMore(button, hidden.length, hidden.filter(waitingFor).length, button.disabled ? "; filter to find them" : "");
    return row;
  }

  /** Machines that are left out. */
  _others(groups) {
    this._rest = this._rest || wideRow("rest", "td", el("p", { class: "left-out" }));
    const sessions = groups.reduce((sum, group) => sum + group.all.length, 0);
    const words = "and " + plural(groups.length, "more machine") + " with " + plural(sessions, "session");
    text(this._rest.querySelector("p"), words + "; filter by name to find them");
    return this._rest;
  }
}
