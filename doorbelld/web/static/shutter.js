// The shutter: pausing the camera for everyone, and resuming it.

import { showCard } from "./cards.js";
import { failure, post } from "./post.js";

const element = (id) => document.getElementById(id);

export class Shutter {
  // `notice` says what went wrong.
  constructor(stage, notice) {
    this._stage = stage;
    this._notice = notice;
    const on = (id, act) => element(id).addEventListener("click", act);
    on("pause", () => this._ask());
    on("pause-no", () => this._end());
    on("pause-yes", ({ currentTarget }) => this._move(currentTarget, "yes"));
    on("resume", ({ currentTarget }) => this._move(currentTarget, "no"));
    element("question").addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this._end();
    });
  }

  // Take what the doorbell says; an older one has no shutter.
  learn({ shutter }) {
    const canClose = Boolean(shutter) && !shutter.closed;
    if (!canClose) showCard(this._stage, element("question"), false);
    if (element("pause").hidden === canClose) element("pause").hidden = !canClose;
  }

  _ask() {
    showCard(this._stage, element("question"), true);
    element("pause-no").focus();
  }

  _end() {
    showCard(this._stage, element("question"), false);
    element("pause").focus();
  }

  async _move(button, closed) {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    const status = await post(`shutter?closed=${closed}`);
    button.setAttribute("aria-busy", "false");
    // What has become of it, the stream says to all pages.
    showCard(this._stage, element("question"), false);
    if (status !== 200) this._notice(failure(status));
  }
}
