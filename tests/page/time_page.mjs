// Puts the parts on a page of their own, for test_page_time.py, which drives it through window.lab.

import * as reducer from "../../claude_mpm/page/reduce.js";
import { Timeline } from "../../claude_mpm/page/render/timeline.js";
import { Cursor, EventLog } from "../../claude_mpm/page/time.js";
import { long, story } from "./story.mjs";

const lab = { seeks: [], ranges: [], agents: [], log: null, cursor: null, timeline: null, now: 0 };

lab.show = (events, more = {}) => {
  lab.timeline?.destroy();
  lab.log = new EventLog(reducer);
  for (const event of events) lab.log.push(event);
  lab.cursor = new Cursor(lab.log);
  lab.now = (lab.log.endedAt ?? Date.now()) + 20000;
  lab.timeline = new Timeline(document.getElementById("timeline"), {
    onSeek: (ms) => { lab.seeks.push(ms); lab.cursor.seek(ms); lab.update(); },
    onRange: (range) => lab.ranges.push(range),
    onAgent: (key) => lab.agents.push(key),
    ...more,
  });
  lab.update();
};
lab.update = () => {
  const { live, at } = lab.cursor;
  lab.timeline.update(lab.log.live, { live, cursorAt: at, now: lab.now });
};
lab.story = () => lab.show(story());
lab.long = (count) => lab.show(long(count));
document.body.classList.add("alone");
window.lab = lab;
