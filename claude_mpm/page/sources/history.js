// Reading back an instance's history, page by page from the newest event. Pure: the caller asks.

import { list, num } from "../plain.js";
import { isEvent } from "./channels.js";

const PAGE = 1000; // events asked for at a time: a hub waits five seconds for a page, whatever the way to the instance
const CHARS = 24e6; // JSON characters; the page holds no more of one session

/**
 * Read the events of these types after `since`.
 *
 * @param {function(Object): Promise<Object>} ask sends get_history with these parameters and gives the reply's data
 * @param {function(Object[]): void} [onNewest] called with the first page, while the rest is read
 * @returns {Promise<{events: [Object, number][], oldest: number}>} the events, oldest first, with the length of their
 *   JSON, and the smallest number that the instance keeps
 */
export async function readBack(ask, { types, since = 0, onNewest = () => {} }) {
  const pages = [];
  let before = null,
    chars = 0;
  for (;;) {
    const reply = await ask({ event_types: types, limit: PAGE, since, ...(before !== null && { before }) });
    const page = list(reply.events).filter(isEvent).map((event) => [event, JSON.stringify(event).length]);
    pages.push(page);
    for (const [, size] of page) chars += size;
    if (pages.length === 1) onNewest(page.map(([event]) => event));
    const first = page.length ? page[0][0].seq : before;
    if (reply.more !== true || !page.length || first === before || chars > CHARS)
      return { events: pages.reverse().flat(), oldest: num(reply.oldest_seq) || 0 };
    before = first;
  }
}
