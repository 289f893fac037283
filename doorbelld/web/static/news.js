// The news of the doorbell without its pictures: for a page that shows none, because it is hidden, finds
// no room for one more viewer, or is that of the visits.

import { LiveStream, monotonic } from "./live.js";

const LOOK_MS = 1000; // a hidden page may be called less often
const SILENT = 40; // seconds without a byte; the daemon sends some every 15
const SETTLED = 60; // seconds after which a stream counts as a good one

export class News {
  // `handlers`: state(state, receivedAt); opened(answer), when the stream begins, also again; login(),
  // when the daemon wants the password; look(), about once a second. `retry` are the seconds before
  // each next attempt, and `delay` those before the first one.
  constructor(handlers, { retry, delay = 0 }) {
    this._handlers = handlers;
    this._retry = retry;
    this._delay = delay;
    this._timer = 0;
    this._retries = 0;
    this._nextAt = 0;
    this._openedAt = 0;
    this._stream = new LiveStream({
      opened: handlers.opened,
      picture: () => null, // never sent
      state: handlers.state,
      end: (end) => this._end(end),
    });
  }

  start() {
    if (this._timer) return;
    this._retries = 0;
    this._nextAt = monotonic() + this._delay;
    this._timer = setInterval(() => this._look(), LOOK_MS);
    if (!this._delay) this._look();
  }

  stop() {
    clearInterval(this._timer);
    this._timer = 0;
    this._stream.close();
  }

  _look() {
    const now = monotonic();
    if (this._stream.isClosed) {
      if (now >= this._nextAt) this._open(now);
    } else if (now - Math.max(this._stream.heardAt, this._openedAt) > SILENT) {
      this._open(now);
    }
    if (this._handlers.look) this._handlers.look();
  }

  _open(now) {
    this._openedAt = now;
    this._stream.open(new URLSearchParams({ v: 1, pictures: "no" }));
  }

  _end({ status }) {
    const now = monotonic();
    if (status === 401) this._handlers.login();
    if (now - this._openedAt > SETTLED) this._retries = 0;
    this._nextAt = now + this._retry[Math.min(this._retries, this._retry.length - 1)];
    this._retries += 1;
  }
}
