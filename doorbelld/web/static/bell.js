// The bell: what the page does when someone rings, and what it shows of the last time.

import { Banner } from "./banner.js";
import { monotonic } from "./live.js";
import { Rings } from "./ring.js";
import { Sound } from "./sound.js";
import { clock as timeOf, say } from "./words.js";

const element = (id) => document.getElementById(id);

// Some browsers forbid even to ask for it.
function storage() {
  try {
    return window.sessionStorage;
  } catch (error) {
    return null;
  }
}

export class Bell {
  // `clock` is the daemon's, `notice` says what went wrong, and `entitle` is called with whether someone
  // rings, for the title of the page.
  constructor(stage, { clock, notice, entitle }) {
    this._stage = stage;
    this._clock = clock;
    this._entitle = entitle;
    this._visit = null;
    this._pressedAt = 0;
    this._rings = new Rings(storage());
    this._sound = new Sound(stage, notice);
    const close = () => this._close();
    this._banner = new Banner(stage, { close, notice });
  }

  // Whether the user wants to hear it.
  get hasSound() {
    return this._sound.isOn;
  }

  // Take what the doorbell says; an older one has no bell.
  learn({ visit }) {
    if (visit === undefined) return;
    element("visits").hidden = false;
    this._visit = visit;
    this._showLast();
    if (visit) this._hear(visit);
    this.look();
  }

  // Call this about every second: a ring is over after a while.
  look() {
    const visit = this._visit;
    const isShown = Boolean(visit) && this._rings.shows(visit, monotonic() - this._pressedAt);
    this._banner.show(isShown ? visit : null);
    this._entitle(isShown);
  }

  // Only what the daemon has just said tells how long ago that was: this device may have slept.
  _hear(visit) {
    const now = monotonic();
    const age = this._clock.age(visit.pressed_at, now);
    this._pressedAt = now - age;
    if (this._rings.hear(visit, age, Date.now() / 1000)) this._sound.ring();
  }

  _close() {
    this._rings.close();
    this.look();
  }

  _showLast() {
    const last = element("last");
    const still = element("last-still");
    const visit = this._visit;
    last.hidden = !visit;
    if (!visit) return;
    const says = say("ring.last", { time: timeOf(visit.pressed_at) });
    if (last.title !== says) {
      last.title = says;
      element("last-words").textContent = says;
    }
    still.hidden = !visit.still;
    if (visit.still && still.getAttribute("src") !== visit.still) still.src = visit.still;
  }
}
