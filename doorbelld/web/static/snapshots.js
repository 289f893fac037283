// While there is no room for one more viewer: one picture a second, each fetched by itself.

import { monotonic } from "./live.js";

const EACH = 1; // second
const LIMIT = 6; // seconds that an answer may take

export class Snapshots {
  // `picture` is called as by LiveStream; `status` once with what /status says.
  constructor(picture, status) {
    this._picture = picture;
    this._status = status;
    this._abort = null;
    this._nextAt = -Infinity;
    this._knowsStatus = false;
  }

  // Call this several times a second.
  look(now) {
    if (this._abort && now - this._askedAt > LIMIT) this._end();
    if (this._abort || now < this._nextAt) return;
    this._abort = new AbortController();
    this._askedAt = now;
    this._nextAt = now + EACH;
    this._ask(this._abort);
  }

  stop() {
    this._end();
    this._nextAt = -Infinity;
    this._knowsStatus = false;
  }

  _end() {
    if (this._abort) this._abort.abort();
    this._abort = null;
  }

  async _ask(abort) {
    const options = { cache: "no-store", signal: abort.signal };
    try {
      if (!this._knowsStatus) await this._askStatus(options);
      const headers = { Accept: "image/jpeg, application/json" };
      const answer = await fetch("snapshot.jpg", Object.assign({ headers }, options));
      const blob = answer.ok ? await answer.blob() : null;
      if (blob && this._abort === abort) this._picture(asPicture(answer, blob));
    } catch (error) {
      // The next one may succeed, and the stream's own attempts say what is wrong.
    }
    if (this._abort === abort) this._abort = null;
  }

  async _askStatus(options) {
    const headers = { Accept: "application/json" };
    const answer = await fetch("status?key=", Object.assign({ headers }, options));
    if (!answer.ok) return;
    this._status(await answer.json());
    this._knowsStatus = true;
  }
}

function asPicture(answer, blob) {
  const timestamp = Number(answer.headers.get("X-Timestamp"));
  return { blob, timestamp, quality: 0, receivedAt: monotonic() };
}
