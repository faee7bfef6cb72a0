// "and 188 more": the button that stands for what is not shown, and opens it.

import { el, text } from "./dom.js";

const STEP = 24; // sessions that one click shows

/** What a reader opened: one group at a time, so that the page stays small. `extra`: how many more of it are shown. */
export class Opened {
  constructor(most) {
    Object.assign(this, { key: null, extra: 0, most });
  }

  /** Whether no more of a group can be shown. */
  isFull(key) {
    return this.key === key && this.extra >= this.most;
  }

  /** Show more of a group. Returns false where that would be too many. */
  open(key) {
    if (this.isFull(key)) return false;
    if (this.key !== key) Object.assign(this, { key, extra: 0 });
    this.extra += STEP;
    return true;
  }
}

/** A button; fillMore() says what it stands for. */
export const moreButton = (onClick) => el("button", { class: "more", type: "button", on: { click: onClick } });

/** Say how many are not shown, and how many of them need the reader. */
export function fillMore(button, count, needing, where = "") {
  const calls = needing ? ", " + needing + (needing === 1 ? " needs you" : " need you") : "";
  text(button, "and " + count + " more" + where + calls);
}
