// How well one stream keeps up: how late its pictures are, how many bytes a second come, and what to
// do about it. Pure: no time is read in this file. Times are in seconds.

const BEHIND = 0.6; // that pictures may be under way
const CAUGHT_UP = 0.3;
const TOO_LATE = 2; // from here on, only a new stream gets past what lies in buffers
const LASTING = 0.3; // before it counts
const REPORT_EACH = 2;
const PATIENCE = [3, 6, 12, 30]; // before a stream that is late is given up, each time longer
const HINT = 60; // for which a measured rate is worth passing on
const WINDOW = 2; // over which the rate is measured
const GAPS = 4;

export class Pace {
  constructor() {
    this.lag = 0; // that the newest part was under way, until it was on the screen
    this._hint = null; // {until, rate, size}
    this._patience = 0;
    this.begin(0);
  }

  // A new stream begins.
  begin(at) {
    this.lag = 0;
    this._beganAt = at;
    this._gaps = [];
    this._pictureAt = 0;
    this._samples = [];
    this._isBehind = false;
    this._turnedAt = at;
    this._reportedAt = -Infinity;
    this._bytes = 0;
    this._pictures = 0;
  }

  picture(size, at) {
    if (this._pictureAt) this._gaps = [at - this._pictureAt, ...this._gaps.slice(0, GAPS - 1)];
    this._pictureAt = at;
    this._bytes += size;
    this._pictures += 1;
  }

  // Seconds between two pictures, as they come.
  get pause() {
    return Math.max(0, ...this._gaps);
  }

  // So many bytes have come by now. Call this several times a second.
  sample(received, at) {
    this._samples = this._samples.filter((sample) => at - sample.at < WINDOW);
    this._samples.push({ received, at });
  }

  // Bytes a second.
  get rate() {
    const [first] = this._samples;
    const last = this._samples[this._samples.length - 1];
    return last && last.at > first.at ? (last.received - first.received) / (last.at - first.at) : 0;
  }

  // Whether to report to the daemon now how late its pictures are.
  isToReport(at) {
    const isLate = this.lag > (this._isBehind ? CAUGHT_UP : BEHIND);
    if (isLate === this._isBehind) this._turnedAt = at;
    const hasTurned = at - this._turnedAt > LASTING;
    if (hasTurned) this._isBehind = isLate;
    const isDue = this._isBehind && this.lag > BEHIND && at - this._reportedAt > REPORT_EACH;
    if (!hasTurned && !isDue) return false;
    this._reportedAt = at;
    return true;
  }

  // Whether a new stream should take the place of this one. It is reported before, and the answer
  // says whether it is the daemon's clock that was set.
  isToGiveUp(at) {
    if (!this._isBehind && at - this._beganAt > HINT) this._patience = 0;
    const patience = PATIENCE[Math.min(this._patience, PATIENCE.length - 1)];
    const isLost = this._isBehind && this.lag > TOO_LATE && at - this._reportedAt > LASTING;
    if (!isLost || at - this._beganAt < patience) return false;
    this._patience += 1;
    const rate = 0.8 * this.rate;
    if (rate > 0) this._hint = { until: at + HINT, rate, size: this._bytes / this._pictures };
    return true;
  }

  // What the next stream should be asked for: pictures for a link of `rate` bytes a second, or, if
  // the daemon cannot make smaller ones, at most `fps` of them. Null if nothing is known.
  wish(at, canShrink) {
    if (!this._hint || at > this._hint.until) return null;
    const { rate, size } = this._hint;
    if (canShrink || !size) return { rate };
    return { rate, fps: Math.min(30, Math.max(0.1, rate / size)) };
  }
}
