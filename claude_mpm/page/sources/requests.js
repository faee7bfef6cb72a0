// Commands that somebody waits for. Each carries a `request_id`, and the reply that repeats it settles the promise.

import { dict, str } from "../plain.js";

const PATIENCE = 45000; // ms; a server lets a client wait 20 s for its turn at the past, then searches for 3 s
let newest = 0;

/** An error with the `code` that docs/protocol.md lists, or "closed" where the connection ended first. */
export const failure = (code, message) => Object.assign(new Error(message), { code });

/** The commands of one connection that have no reply yet. */
export class Requests {
  constructor() {
    this._open = new Map(); // request id → {resolve, reject, timer}
  }

  get size() {
    return this._open.size;
  }

  /**
   * Send a command. `send(id)` puts it on the wire with that `request_id`.
   *
   * @returns {Promise<Object>} the reply's data; rejects with a failure()
   */
  make(send) {
    const id = ++newest;
    return new Promise((resolve, reject) => {
      const giveUp = () => this._settle(id)?.reject(failure("closed", "the server did not answer"));
      const timer = setTimeout(giveUp, PATIENCE);
      this._open.set(id, { resolve, reject, timer });
      send(id);
    });
  }

  /** Take a message if it is the reply to one of these commands; returns whether it was. */
  take(message) {
    const request = this._settle(message.request_id);
    if (!request) return false;
    const data = dict(message.data);
    if (message.type === "error") request.reject(failure(str(data.code), str(data.message) || "the server refused"));
    else request.resolve(data);
    return true;
  }

  /** The connection has ended: nothing that is open will be answered. */
  drop() {
    for (const id of [...this._open.keys()])
      this._settle(id).reject(failure("closed", "the connection ended before the answer came"));
  }

  _settle(id) {
    const request = this._open.get(id);
    if (!request) return null;
    this._open.delete(id);
    clearTimeout(request.timer);
    return request;
  }
}
