// Listening: keeps a stream without pictures open, so that a page hears the bell that shows no
// picture: it is hidden, or there is no room for one more viewer.

import { LiveStream, monotonic } from "./live.js";

const RETRY = [1, 3, 10, 30]; // seconds before the next attempt
const LOOK_MS = 1000; // a hidden page may be called less often
const SILENT = 40; // seconds without a byte; the daemon sends some every 15
const SETTLED = 60; // seconds after which a stream counts as a good one

export class Listen {
  // `handlers`: news(state); look(), about once a second; login(), when it wants the password.
  constructor(clock, handlers) {
    this._clock = clock;
    this._handlers = handlers;
    this._timer = 0;
    this._retries = 0;
    this._nextAt = 0;
    this._openedAt = 0;
    this._stream = new LiveStream({
      opened: ({ serverNow, sentAt, receivedAt }) => clock.learn(serverNow, sentAt, receivedAt),
      picture: () => null, // never sent
      state: (state, receivedAt) => this._state(state, receivedAt),
      end: (end) => this._end(end),
    });
  }

  start() {
    if (this._timer) return;
    this._retries = 0;
    // Not at once: the page may be hidden for a moment only.
    this._nextAt = monotonic() + LOOK_MS / 2000;
    this._timer = setInterval(() => this._look(), LOOK_MS);
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
    this._handlers.look();
  }

  _open(now) {
    this._openedAt = now;
    this._stream.open(new URLSearchParams({ v: 1, pictures: "no" }));
  }

  _state(state, receivedAt) {
    this._clock.hear(state.now, receivedAt);
    this._handlers.news(state);
  }

  _end({ status }) {
    const now = monotonic();
    if (status === 401) this._handlers.login();
    if (now - this._openedAt > SETTLED) this._retries = 0;
    this._nextAt = now + RETRY[Math.min(this._retries, RETRY.length - 1)];
    this._retries += 1;
  }
}
