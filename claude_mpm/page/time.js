/**
 * A session's events in order, and the moment in it that the page shows. Pure: no DOM, no timers, no clock of its own.
 *
 * A *position* counts events: position 0 is before the first event, position n is after the n-th. Positions stay
 * valid when the oldest events are dropped; `first` is then the lowest one that can still be shown.
 */

const EVERY = 500; // events between checkpoints, so that no jump folds more than this
const MAX_CHECKPOINTS = 128; // beyond it, every second one is dropped and the spacing doubles: memory stays bounded
const MAX_CHARS = 48 * 1024 * 1024; // JSON of one session's events; beyond it, the oldest are dropped
const IDLE = 2000; // ms; playback shows this much of a longer pause, then skips to the next event
const MAX_FRAME = 250; // ms; a tab that was asleep resumes where it stopped instead of leaping ahead

/** The playback speeds on offer, in seconds of the session per second. */
export const SPEEDS = [1, 4, 16];

/** Events that only update numbers or the terminal: stepping skips them, and playback does not pause for them. */
const QUIET = new Set([
  "claude.output", "claude.screen", "claude.usage", "agent.status", "system.status", "system.control",
]);

/** How many entries of the sorted `array` are ≤ `value`. */
function countUpTo(array, value) {
  let low = 0, high = array.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (array[middle] <= value) low = middle + 1; else high = middle;
  }
  return low;
}

const isPrompt = ({ type, data }) => type === "claude.message" && data?.role === "user" && !data.agent_id;

/**
 * The events of one session, with checkpoints of the state they add up to.
 *
 * `reducer` is reduce.js: {empty(), apply(state, event), clone(state)}. The states returned belong to the log; callers
 * must not change them.
 */
export class EventLog {
  constructor(reducer, { every = EVERY, maxChars = MAX_CHARS } = {}) {
    this._reducer = reducer;
    this._every = every;
    this._maxChars = maxChars;
    this._chars = 0;
    this._events = []; // entry i leads to position first + i + 1
    this._sizes = [];
    this._times = []; // never decreasing: an event cannot show before its predecessor
    this._seqs = []; // never decreasing: an event without a seq (a gap) takes its predecessor's
    this._notable = []; // positions after events that are not QUIET
    this._prompts = []; // positions after the user's prompts
    this._checkpoints = [{ position: 0, state: reducer.empty() }];
    this._past = null; // {position, state} made by the last `stateAt`, so that playing on is one fold per event
    /** The lowest position that can be shown. */
    this.first = 0;
    /** The state after the newest event. */
    this.live = reducer.empty();
  }

  /** The position after the newest event. */
  get length() {
    return this.first + this._events.length;
  }

  /** When the oldest event kept happened, in ms; null if there is none. */
  get oldestAt() {
    return this._times.length ? this._times[0] : null;
  }

  /** When the newest event happened, in ms; null if there is none. */
  get newestAt() {
    return this._times.length ? this._times.at(-1) : null;
  }

  /** The events between two positions, oldest first; by default all that are kept. */
  events(from = this.first, to = this.length) {
    return this._events.slice(Math.max(0, from - this.first), Math.max(0, to - this.first));
  }

  /**
   * Append an event (an envelope of the protocol) and fold it into `live`.
   *
   * Returns false, and does nothing, if it is not newer than the newest one: a resumed connection may repeat events.
   * `chars` is the length of its JSON, which counts towards the bound; pass it when the text is at hand.
   */
  push(event, chars = JSON.stringify(event).length) {
    const newest = this._seqs.at(-1) ?? 0;
    const seq = Number.isFinite(event.seq) ? event.seq : null;
    if (seq !== null && seq <= newest) return false;
    const before = this._times.at(-1), time = Date.parse(event.timestamp);
    this._events.push(event);
    this._sizes.push(chars);
    this._chars += chars;
    this._seqs.push(seq ?? newest);
    this._times.push(Math.max(before ?? -Infinity, Number.isFinite(time) ? time : before ?? 0));
    if (!QUIET.has(event.type)) this._notable.push(this.length);
    if (isPrompt(event)) this._prompts.push(this.length);
    this._reducer.apply(this.live, event);
    if (this.length % this._every === 0) this._checkpoint();
    if (this._chars > this._maxChars) this._dropOldest();
    return true;
  }

  /** The position after the last event at or before `ms`. */
  positionAt(ms) {
    return this.first + countUpTo(this._times, ms);
  }

  /** The position after event number `seq`, or after the last event before it. */
  positionOf(seq) {
    return this.first + countUpTo(this._seqs, seq);
  }

  /** When the last event before `position` happened, in ms; at the start, when the first one will. Null if empty. */
  timeAt(position) {
    const index = Math.min(position, this.length) - this.first - 1;
    return index >= 0 ? this._times[index] : this.oldestAt;
  }

  /**
   * The state at `position`, which is clamped to [first, length]. Valid until the next call, because moving forward
   * applies further events to the same object. Costs at most one clone and as many folds as lie between checkpoints.
   */
  stateAt(position) {
    if (position >= this.length) return this.live;
    const target = Math.max(position, this.first);
    const checkpoint = this._checkpoints[this._checkpointBefore(target)];
    const { clone, apply } = this._reducer;
    let past = this._past;
    if (!past || past.position > target || past.position < checkpoint.position)
      past = { position: checkpoint.position, state: clone(checkpoint.state) };
    while (past.position < target) apply(past.state, this._events[past.position++ - this.first]);
    this._past = past;
    return past.state;
  }

  /** The position of the next (`direction` 1) or previous (−1) event that is not QUIET; null if there is none. */
  neighbour(position, direction) {
    return this._neighbourIn(this._notable, position, direction);
  }

  /** The same for the user's prompts. */
  neighbourPrompt(position, direction) {
    return this._neighbourIn(this._prompts, position, direction);
  }

  _neighbourIn(positions, position, direction) {
    const index = direction > 0 ? countUpTo(positions, position) : countUpTo(positions, position - 1) - 1;
    return positions[index] ?? null;
  }

  _checkpointBefore(position) {
    let index = this._checkpoints.length - 1;
    while (this._checkpoints[index].position > position) index--;
    return index;
  }

  _checkpoint() {
    this._checkpoints.push({ position: this.length, state: this._reducer.clone(this.live) });
    if (this._checkpoints.length <= MAX_CHECKPOINTS) return;
    this._every *= 2;
    this._checkpoints = this._checkpoints.filter((kept, index) => index === 0 || kept.position % this._every === 0);
  }

  /** Drop events up to a checkpoint, which then is the state that the remaining ones build on. */
  _dropOldest() {
    while (this._chars > this._maxChars && this._checkpoints.length > 2) {
      this._checkpoints.shift();
      const dropped = this._checkpoints[0].position - this.first;
      for (const array of [this._events, this._times, this._seqs]) array.splice(0, dropped);
      for (const size of this._sizes.splice(0, dropped)) this._chars -= size;
      this.first += dropped;
    }
    for (const positions of [this._notable, this._prompts]) positions.splice(0, countUpTo(positions, this.first));
    if (this._past && this._past.position < this.first) this._past = null;
  }
}

/**
 * The moment of an EventLog that the page shows: live, or a time in the past that can be moved, stepped and played.
 *
 * Draws nothing: the caller does, and calls `tick` once per animation frame while `playing`.
 */
export class Cursor {
  constructor(log) {
    this._log = log;
    this._position = null;
    this._tickedAt = null;
    /** The moment in ms, or null when live. */
    this.at = null;
    this.playing = false;
    this.speed = SPEEDS[0];
  }

  get live() {
    return this.at === null;
  }

  /** The position shown. */
  get position() {
    return this.live ? this._log.length : Math.max(this._position, this._log.first);
  }

  /** The state to draw; see `EventLog.stateAt`. */
  get state() {
    return this.live ? this._log.live : this._log.stateAt(this._position);
  }

  /** Go to a time in ms, or live with null. Playback continues from there, but stops when live. */
  seek(ms) {
    if (ms === null || this._log.newestAt === null) return this._goLive();
    this.at = Math.max(ms, this._log.oldestAt);
    this._position = this._log.positionAt(this.at);
  }

  /** Go to the moment just after event number `seq`. */
  seekSeq(seq) {
    this._moveTo(this._log.positionOf(seq));
  }

  /** Go one event forward (1) or back (−1), from the newest one to live. Stops playback. */
  step(direction) {
    this.pause();
    this._moveTo(this._log.neighbour(this.position, direction), direction);
  }

  /** Go to the user's next (1) or previous (−1) prompt, from the last one to live. Stops playback. */
  stepPrompt(direction) {
    this.pause();
    this._moveTo(this._log.neighbourPrompt(this.position, direction), direction);
  }

  /** Play from the moment shown, or from the start when live. */
  play(speed = this.speed) {
    if (this._log.newestAt === null) return;
    if (this.live) this.seek(this._log.oldestAt);
    this.speed = speed;
    this.playing = true;
    this._tickedAt = null;
  }

  pause() {
    this.playing = false;
  }

  /** Play or pause. When live, a running session is frozen at this moment; one that has ended is played again. */
  toggle() {
    if (this.playing) this.pause();
    else if (this.live && !this._log.live.ended) this.seek(this._log.newestAt);
    else this.play();
  }

  /** Advance playback to `now`, the caller's clock in ms. Returns whether the moment changed. */
  tick(now) {
    if (!this.playing) return false;
    const elapsed = this._tickedAt === null ? 0 : Math.min(Math.max(0, now - this._tickedAt), MAX_FRAME);
    this._tickedAt = now;
    if (!elapsed) return false;
    this.at = this._skipIdle(this.at + elapsed * this.speed);
    if (this.at >= this._log.newestAt) this._goLive();
    else this._position = this._log.positionAt(this.at);
    return true;
  }

  _skipIdle(at) {
    const log = this._log, position = log.positionAt(at);
    const next = log.neighbour(position, 1), last = log.neighbour(position + 1, -1);
    if (next === null) return log.newestAt;
    const pausedSince = last === null ? log.oldestAt : log.timeAt(last);
    return at - pausedSince > IDLE ? log.timeAt(next) : at;
  }

  _moveTo(position, direction = 0) {
    if (position === null && direction > 0) return this._goLive();
    if (position === null) return;
    this.at = this._log.timeAt(position);
    this._position = position;
  }

  _goLive() {
    this.at = this._position = null;
    this.playing = false;
  }
}
