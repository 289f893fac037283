// The news from the doorbell while the page is shown: the page's stream without its pictures.

import { LiveStream, monotonic } from "./live.js";

const RETRY_MS = [500, 1000, 2000, 5000];
const SILENT = 40; // seconds without a byte; there is one at least every 15
const LOOK_MS = 5000;

export class News {
  // `opened` is called when the stream begins, also again; `state` with each state.
  constructor({ opened, state }) {
    this._isOn = false;
    this._retries = 0;
    this._timer = 0;
    this._watchdog = 0;
    this._stream = new LiveStream({
      opened,
      picture() {},
      state: (news) => {
        this._retries = 0;
        state(news);
      },
      end: (end) => this._end(end),
    });
  }

  start() {
    if (this._isOn) return;
    this._isOn = true;
    this._retries = 0;
    this._watchdog = setInterval(() => this._look(), LOOK_MS);
    this._open();
  }

  stop() {
    this._isOn = false;
    clearTimeout(this._timer);
    clearInterval(this._watchdog);
    this._stream.close();
  }

  _open() {
    this._openedAt = monotonic();
    this._stream.open("v=1&pictures=no");
  }

  _look() {
    const heardAt = Math.max(this._stream.heardAt, this._openedAt);
    if (this._stream.isClosed || monotonic() - heardAt < SILENT) return;
    this._stream.close();
    this._open();
  }

  _end({ status }) {
    if (status === 401) {
      location.replace("login");
      return;
    }
    const wait = RETRY_MS[Math.min(this._retries, RETRY_MS.length - 1)];
    this._retries += 1;
    this._timer = setTimeout(() => this._open(), wait);
  }
}
