// A visit that is opened while the visitor may still be there, as from a message on the phone: the
// way to the live picture, and "Answered".

import { monotonic } from "./live.js";

const RECENT = 600; // seconds after a press; later, the time of the answer would be a wrong one

const place = (id) => document.getElementById(id);

export class Recent {
  // `clock` is the daemon's: that of this device may be wrong by hours.
  constructor(clock) {
    this._clock = clock;
  }

  // Show it for a visit that needs it; call this again as time goes by.
  show(visit) {
    const group = place("recent");
    const isHidden = !this._isRecent(visit);
    if (group.hidden === isHidden) return;
    const hadFocus = group.contains(document.activeElement);
    group.hidden = isHidden;
    if (hadFocus) place("viewer-title").focus({ preventScroll: true });
  }

  // Nothing is known until the daemon has said what time it is.
  _isRecent({ kind, answered, pressed_at: pressedAt }) {
    const now = monotonic();
    return kind === "ring" && !answered && Number.isFinite(this._clock.error(now))
      && this._clock.age(pressedAt, now) < RECENT;
  }
}
