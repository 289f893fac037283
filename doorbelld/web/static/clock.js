// The daemon's clock, as seen from here. Pure: no time is read in this file.
//
// Local times are seconds of a clock that never jumps, those of the daemon Unix seconds. What is
// known is an interval that the difference of the two lies in: each answer and each part of the
// stream makes it narrower, and time makes it wider, because no two clocks run equally fast.

const DRIFT = 6e-4; // NTP slews a clock by 500 ppm
const SLACK = 0.02; // seconds that two intervals may miss each other by
const OLD = 600; // seconds after which the daemon should be asked again
const VAGUE = 0.5; // seconds of error, likewise

export class DaemonClock {
  constructor() {
    this.forget();
  }

  // This device has slept: nothing is known.
  forget() {
    this._low = -Infinity;
    this._high = Infinity;
    this._at = 0;
    this._answeredAt = -Infinity;
  }

  // The daemon's answer says what its clock said at some moment between sending the request and
  // receiving the answer.
  learn(serverNow, sentAt, receivedAt) {
    if (!Number.isFinite(serverNow)) return;
    this._narrow(serverNow - receivedAt, serverNow - sentAt, receivedAt);
    this._answeredAt = receivedAt;
  }

  // What came at a moment was written before it, how long before is not known.
  hear(serverNow, receivedAt) {
    if (!Number.isFinite(serverNow)) return;
    this._narrow(serverNow - receivedAt, Infinity, receivedAt);
  }

  // Whether only a new answer can say how late the stream is.
  isVague(at) {
    return !(at - this._answeredAt < OLD && this.error(at) < VAGUE);
  }

  // Seconds by which ages may be wrong.
  error(at) {
    return (this._high - this._low) / 2 + DRIFT * (at - this._at);
  }

  // Seconds between the daemon's timestamp and a local time; never negative.
  age(timestamp, at) {
    return Math.max(0, at + this._offset() - timestamp);
  }

  _offset() {
    if (this._high === Infinity) return this._low;
    return (this._low + this._high) / 2;
  }

  _narrow(low, high, at) {
    const drift = DRIFT * Math.max(0, at - this._at);
    const oldLow = this._low - drift;
    const oldHigh = this._high + drift;
    // The daemon's clock has been set: what was known before is worth nothing.
    const isSet = low > oldHigh + SLACK || high < oldLow - SLACK;
    this._low = isSet ? low : Math.max(low, oldLow);
    this._high = isSet ? high : Math.max(this._low, Math.min(high, oldHigh));
    this._at = at;
  }
}
