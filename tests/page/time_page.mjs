// Puts the parts on a page of their own, for test_page_time.py, which drives it through window.lab.

import * as reducer from "../../claude_mpm/page/reduce.js";
import { openHelp, TIME_KEYS } from "../../claude_mpm/page/render/help.js";
import { renderNumbers } from "../../claude_mpm/page/render/numbers.js";
import { openPalette } from "../../claude_mpm/page/render/palette.js";
import { Timeline } from "../../claude_mpm/page/render/timeline.js";
import { Transport } from "../../claude_mpm/page/render/transport.js";
import { Cursor, EventLog } from "../../claude_mpm/page/time.js";
import { long, story } from "./story.mjs";

const lab = { seeks: [], ranges: [], agents: [], chosen: [], log: null, cursor: null, timeline: null, now: 0 };

lab.show = (events, more = {}) => {
  lab.timeline?.destroy();
  lab.log = new EventLog(reducer);
  for (const event of events) lab.log.push(event);
  lab.cursor = new Cursor(lab.log);
  lab.now = (lab.log.newestAt ?? Date.now()) + 20000;
  Object.assign(lab, { seeks: [], ranges: [], agents: [], chosen: [] });
  lab.timeline = new Timeline(document.getElementById("timeline"), {
    onSeek: (ms) => { lab.seeks.push(ms); lab.cursor.seek(ms); lab.update(); },
    onRange: (range) => lab.ranges.push(range),
    onAgent: (key) => lab.agents.push(key),
    ...more,
  });
  const act = (action) => (...given) => { action(...given); lab.update(); };
  lab.transport = new Transport(lab.timeline.controls, {
    step: act((by) => lab.cursor.step(by)), stepPrompt: act((by) => lab.cursor.stepPrompt(by)),
    toggle: act(() => lab.cursor.toggle()), live: act(() => lab.cursor.seek(null)),
    speed: act((speed) => { lab.cursor.speed = speed; }),
  });
  lab.update();
};
lab.update = () => {
  const { live, at } = lab.cursor;
  lab.timeline.update(lab.log.live, { live, cursorAt: at, now: lab.now });
  lab.transport.update(lab.cursor, Boolean(lab.log.live.ended));
};
lab.numbers = () => document.getElementById("numbers").replaceChildren(renderNumbers(lab.log.live));
lab.palette = (labels) => openPalette(labels.map((label) => (
  { label, hint: "command", run: () => lab.chosen.push([label, document.activeElement.id]) })));
lab.help = () => openHelp([TIME_KEYS], ["All of them can be switched off."]);
lab.story = () => lab.show(story());
lab.long = (count) => lab.show(long(count));
document.body.classList.add("alone");
window.lab = lab;
