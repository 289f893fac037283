// A film, played from pictures that are fetched one by one: some ahead, and never many at a time.

import { ask, blob } from "./answers.js";

const AHEAD = 24; // pictures that are fetched before they are due
const BEHIND = 8; // and that are kept after it
const AT_ONCE = 4; // requests
const MOST_BYTES = 12 * 1024 * 1024; // of pictures, besides the one that is due
const PATIENCE = 0.5; // seconds that a picture may be late before the film waits for it
const MOST_STRIDE = 8; // on a slow link: every so many pictures

// The pictures around one place in the film.
export class Frames {
  // `came` is called when there is a new one, `failed` with the first error.
  constructor(id, { came, failed }) {
    this._id = id;
    this._handlers = { came, failed };
    this._kept = new Map(); // index: Blob
    this._asked = new Map(); // index: AbortController
    this._wanted = [];
    this._bytes = 0;
  }

  get(index) {
    return this._kept.get(index);
  }

  // Whether everything that is wanted is there.
  get isFull() {
    return this._wanted.every((each) => this._kept.has(each));
  }

  // From now on, these are of use: the picture at `index`, and then every one at a stride.
  want(index, stride, count) {
    this._wanted = [];
    for (let at = index; at < count && this._wanted.length < AHEAD; at += stride) {
      this._wanted.push(at);
    }
    const end = index + AHEAD * stride;
    for (const [at, kept] of this._kept) {
      if (at >= index - BEHIND && at < end) continue;
      this._bytes -= kept.size;
      this._kept.delete(at);
    }
    this._fetch();
  }

  close() {
    this._wanted = [];
    this._kept.clear();
    this._bytes = 0;
    for (const abort of this._asked.values()) abort.abort();
    this._asked.clear();
  }

  _fetch() {
    for (const index of this._wanted) {
      if (this._asked.size >= AT_ONCE) return;
      if (this._bytes > MOST_BYTES && index !== this._wanted[0]) return;
      if (!this._kept.has(index) && !this._asked.has(index)) this._ask(index);
    }
  }

  async _ask(index) {
    const abort = new AbortController();
    this._asked.set(index, abort);
    try {
      const picture = await ask(`visits/${this._id}/${index}.jpg`, blob, { abort });
      if (this._asked.get(index) !== abort) return; // closed
      this._asked.delete(index);
      this._kept.set(index, picture);
      this._bytes += picture.size;
      this._handlers.came();
      this._fetch();
    } catch (error) {
      if (this._asked.get(index) !== abort) return;
      this._asked.delete(index);
      this._wanted = []; // until the next wish
      this._handlers.failed(error);
    }
  }
}

// Which picture is due when. Pure: no time is read here, it comes with tick().
export class Player {
  // `times` are the moments of the pictures in seconds; `show` is called with index and picture.
  constructor(frames, show) {
    this.times = [];
    this.isOpen = false; // More pictures may come.
    this.isPlaying = false;
    this.isWaiting = false;
    this.index = 0; // the picture that is wanted, or shown if the film plays
    this._frames = frames;
    this._show = show;
    this._shown = -1;
    this._stride = 1;
    this._base = 0; // the moment in the film
    this._since = 0; // at this time
  }

  get last() {
    return this.times.length - 1;
  }

  seek(index, now) {
    this.index = Math.min(Math.max(index, 0), Math.max(this.last, 0));
    this._shown = -1;
    this._restart(now);
    this.tick(now);
  }

  play(now) {
    if (this.index >= this.last && !this.isOpen) this.index = 0;
    this.isPlaying = true;
    this._stride = 1;
    this._restart(now);
    this.tick(now);
  }

  pause() {
    this.isPlaying = this.isWaiting = false;
    this._stride = 1;
  }

  // Call this whenever the screen is drawn, and when a picture has come.
  tick(now) {
    if (this.last < 0) return;
    const isFirst = this._shown !== this.index;
    if (isFirst) this._try(this.index);
    if (this.isPlaying && this._shown === this.index) this._advance(now);
    else if (this.isPlaying) this._restart(now);
    this.isWaiting = this.isPlaying && this._shown !== this.index;
    this._frames.want(this.index, this._stride, this.times.length);
  }

  _restart(now) {
    this._base = this.times[this.index] || 0;
    this._since = now;
  }

  _advance(now) {
    const moment = this._base + now - this._since;
    let due = this.index;
    while (due < this.last && this.times[due + 1] <= moment) due += 1;
    for (let at = due; at > this.index; at -= 1) {
      if (this._try(at)) {
        this._keepUp();
        return;
      }
    }
    if (this.index === this.last) this._end(now);
    else if (due > this.index && moment > this.times[this.index + 1] + PATIENCE) this._hold(now);
  }

  _try(index) {
    const picture = this._frames.get(index);
    if (!picture) return false;
    this.index = this._shown = index;
    this._show(index, picture);
    return true;
  }

  // The film waits for the link, and shows fewer pictures then, at the same speed.
  _hold(now) {
    this._stride = Math.min(2 * this._stride, MOST_STRIDE);
    this.index = Math.min(this.index + this._stride, this.last);
    this._restart(now);
  }

  _keepUp() {
    if (this._stride > 1 && this._frames.isFull) this._stride /= 2;
  }

  _end(now) {
    if (this.isOpen) this._restart(now);
    else this.pause();
  }
}
