/**
 * A session's events in order, and the moment of it that the page shows. Pure: no DOM, no timers, no clock of its own.
 *
 * A *position* counts events: position 0 is before the first event, position n is after the n-th. Positions stay
 * valid when the oldest events are dropped; `first` is then the lowest one that can still be shown.
 */

const EVERY = 500; // events between checkpoints, so that no jump folds more than this
const MAX_CHECKPOINTS = 128; // above it every second one goes and the spacing doubles: jumps slow down, memory does not
const MAX_CHARS = 64 * 1024 * 1024; // of JSON in one session's events; the oldest are dropped above it
const IDLE = 2000; // ms; playback shows this much of a longer pause, then goes on with the next event
const MAX_FRAME = 250; // ms; a tab that was asleep goes on where it stopped instead of leaping ahead

/** Speeds that playback offers, in session seconds per second. */
export const SPEEDS = [1, 4, 16];

/** Events that change numbers or a terminal but tell no story: no step stops at them, and they interrupt no pause. */
const QUIET = new Set([
  "claude.output", "claude.screen", "claude.usage", "agent.status", "system.status", "system.control",
]);

/** The number of entries of the sorted `array` that are ≤ `value`. */
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
 * The events of one session, with checkpoints of the state they fold to.
 *
 * `reducer` is {empty(), apply(state, event), clone(state)} of reduce.js. The states handed out belong to the log:
 * callers read them and change nothing.
 */
export class EventLog {
  constructor(reducer, { every = EVERY, maxChars = MAX_CHARS } = {}) {
    this._reducer = reducer;
    this._every = every;
    this._maxChars = maxChars;
    this._chars = 0;
    this._events = []; // entry i is the event that leads to position first + i + 1
    this._sizes = [];
    this._times = []; // never falling: an event shows when the one before it has
    this._seqs = []; // never falling: an event without a seq (a gap) carries that of its predecessor
    this._telling = []; // positions after events that are not quiet
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

  /** Time of the oldest and the newest event that are kept, in ms, or null before there is one. */
  get startedAt() {
    return this._times.length ? this._times[0] : null;
  }

  get endedAt() {
    return this._times.length ? this._times.at(-1) : null;
  }

  /** The kept events after `from` up to position `to`, oldest first. */
  events(from = this.first, to = this.length) {
    return this._events.slice(Math.max(0, from - this.first), Math.max(0, to - this.first));
  }

  /**
   * Append an event (an envelope of the protocol) and fold it into `live`.
   *
   * Returns false for one that is not newer than what is here, as a resumed connection may send. `chars` is the length
   * of its JSON, for the bound; pass it when the text is at hand.
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
    if (!QUIET.has(event.type)) this._telling.push(this.length);
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

  /** The position after event number `seq`, or after the last one before it. */
  positionOf(seq) {
    return this.first + countUpTo(this._seqs, seq);
  }

  /** When the newest event up to `position` happened, in ms; null before the first event. */
  timeAt(position) {
    const index = Math.min(position, this.length) - this.first - 1;
    return index >= 0 ? this._times[index] : this.startedAt;
  }

  /**
   * The state at `position`, within [first, length]. Valid until the next call: playing forward goes on folding into
   * the same state. Costs at most one clone and `every` folds.
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

  /** The position of the next (`direction` 1) or previous (−1) event that tells something; null when there is none. */
  neighbour(position, direction) {
    return this._neighbourIn(this._telling, position, direction);
  }

  /** The same, from prompt to prompt. */
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

  /** Drop whole stretches between checkpoints: the second checkpoint becomes what the rest is folded onto. */
  _dropOldest() {
    while (this._chars > this._maxChars && this._checkpoints.length > 2) {
      this._checkpoints.shift();
      const dropped = this._checkpoints[0].position - this.first;
      for (const array of [this._events, this._times, this._seqs]) array.splice(0, dropped);
      for (const size of this._sizes.splice(0, dropped)) this._chars -= size;
      this.first += dropped;
    }
    for (const positions of [this._telling, this._prompts]) positions.splice(0, countUpTo(positions, this.first));
    if (this._past && this._past.position < this.first) this._past = null;
  }
}

/**
 * The moment of an EventLog that is looked at: live, or a time in the past that may be moved, stepped or played.
 *
 * The caller draws; while `playing`, it calls `tick` once per animation frame.
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

  /** The number of events that are shown. */
  get position() {
    return this.live ? this._log.length : Math.max(this._position, this._log.first);
  }

  /** The state to draw; see `EventLog.stateAt`. */
  get state() {
    return this.live ? this._log.live : this._log.stateAt(this._position);
  }

  /** Go to a time in ms; null goes back to live. Playing goes on from there. */
  seek(ms) {
    if (ms === null || this._log.endedAt === null) return this._goLive();
    this.at = Math.max(ms, this._log.startedAt);
    this._position = this._log.positionAt(this.at);
  }

  /** Go to the moment just after event number `seq`. */
  seekSeq(seq) {
    this._moveTo(this._log.positionOf(seq));
  }

  /** One event on (1) or back (−1). Past the newest one is live. Stops playing. */
  step(direction) {
    this.pause();
    this._moveTo(this._log.neighbour(this.position, direction), direction);
  }

  /** To the next (1) or previous (−1) prompt of the user. Past the last one is live. Stops playing. */
  stepPrompt(direction) {
    this.pause();
    this._moveTo(this._log.neighbourPrompt(this.position, direction), direction);
  }

  /** Play from here, or from the start when live. */
  play(speed = this.speed) {
    if (this._log.endedAt === null) return;
    if (this.live) this.seek(this._log.startedAt);
    this.speed = speed;
    this.playing = true;
    this._tickedAt = null;
  }

  pause() {
    this.playing = false;
  }

  /** Play or pause. Live, a session that is still running stops at this moment and an ended one starts over. */
  toggle() {
    if (this.playing) this.pause();
    else if (this.live && !this._log.live.ended) this.seek(this._log.endedAt);
    else this.play();
  }

  /** Move on to the time `now` of the caller's clock, in ms. Returns whether anything moved. */
  tick(now) {
    if (!this.playing) return false;
    const elapsed = this._tickedAt === null ? 0 : Math.min(Math.max(0, now - this._tickedAt), MAX_FRAME);
    this._tickedAt = now;
    if (!elapsed) return false;
    this.at = this._skipIdle(this.at + elapsed * this.speed);
    if (this.at >= this._log.endedAt) this._goLive();
    else this._position = this._log.positionAt(this.at);
    return true;
  }

  _skipIdle(at) {
    const log = this._log, position = log.positionAt(at);
    const next = log.neighbour(position, 1), last = log.neighbour(position + 1, -1);
    if (next === null) return log.endedAt;
    const pausedSince = last === null ? log.startedAt : log.timeAt(last);
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
