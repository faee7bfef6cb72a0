// What is fetched of a hub's session only while somebody looks at it: pictures of its terminal, and its output.

import { list } from "../plain.js";
import { keepNoise, redraw } from "../store.js";
import { takePicture } from "../picture.js";
import { PICTURES, isEvent } from "./channels.js";

export class Sight {
  constructor(member) {
    Object.assign(this, { member, screen: false, output: false, askedAt: 0 });
  }

  want({ screen, output }) {
    if (screen !== this.screen) {
      this.screen = screen;
      this._subscribe("claude.screen", screen);
      if (screen) this.askWhole();
    }
    if (output !== this.output) {
      this.output = output;
      this._subscribe("claude.output", output);
      if (output) this._askOutput();
    }
  }

  _subscribe(channel, on) {
    this.member.send(on ? "subscribe" : "unsubscribe", { channels: [channel] });
  }

  /** The subscriptions have ended, with the connection or otherwise. */
  forget() {
    Object.assign(this, { screen: false, output: false });
  }

  picture(data) {
    takePicture(this.member.session, data, () => this.askWhole());
  }

  /** Now and then, so that the last picture is from shortly before the session's end. */
  askPicture() {
    const able = list(this.member.session.shown.info.capabilities).includes("screen");
    if (able && !this.screen && Date.now() - this.askedAt >= PICTURES) this.askWhole();
  }

  async askWhole() {
    this.askedAt = Date.now();
    try {
      this.picture(await this.member.request("get_screen"));
    } catch (error) {
      this.member.session.noScreen = error.message;
      redraw();
    }
  }

  async _askOutput() {
    try {
      const { events } = await this.member.request("get_history", { event_types: ["claude.output"], limit: 300 });
      keepNoise(this.member.session, list(events).filter(isEvent));
    } catch (error) {
      if (error.code !== "closed") this.member.problem = "Its output cannot be read: " + error.message + ".";
    }
    redraw();
  }
}
