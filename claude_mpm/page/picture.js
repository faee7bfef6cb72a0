// A session's terminal as cells, kept by the rule of docs/protocol.md ("The screen").

import { dict, list, num, str } from "./plain.js";
import { redraw } from "./store.js";

const MAX_ROWS = 1000;

/**
 * Take a `claude.screen` picture into `session.screen`. A picture older than the one held is ignored; one that builds
 * on a picture this page never had makes it ask for a whole one.
 */
export function takePicture(session, data, askWhole) {
  const old = session.screen,
    mine = old ? old.frame : 0,
    frame = num(data.frame) || 0,
    from = num(data.base) || 0;
  const cols = num(data.cols) || 80,
    rows = Math.min(num(data.rows) || 24, MAX_ROWS);
  session.noScreen = "";
  if (old && frame <= mine && from > 0) return;
  if (from > mine || (from > 0 && old.lines.length !== rows)) return askWhole();
  const lines = from > 0 ? old.lines.slice() : Array(rows).fill(null);
  for (const entry of list(data.lines))
    if (Array.isArray(entry) && entry[0] >= 0 && entry[0] < rows) lines[entry[0]] = list(entry[1]);
  session.screen = { frame, cols, lines, cursor: dict(data.cursor), title: str(data.title), at: Date.now() };
  redraw();
}
