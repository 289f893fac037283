// Watching: keeps one stream open while the page is shown, opens it again when it fails or falls
// behind, and knows how it is.

import { LiveStream, monotonic } from "./live.js";
import { Pace } from "./pace.js";
import { Snapshots } from "./snapshots.js";

const RETRY = [0.5, 1, 2, 3]; // seconds before the next attempt
const CHURN = 0.3; // seconds between two streams of a page that is hidden and shown at once
const SILENT = 2; // seconds without a byte, after which the stream is opened again
const UNANSWERED = 4; // seconds that an answer may take
const SETTLED = 5; // seconds after which a stream counts as a good one
const JUMP = 2; // seconds by which the clocks of this device part when it sleeps
const LIMITED = 61; // seconds after which the link may carry all pictures again
const ASK_EACH = 5; // seconds between two questions for the daemon's clock
const WIDER = 1.3; // times as many pixels as asked for, from which it is worth to ask again
const CALM = 1; // seconds that the screen has to stay like that
const ALONE = 0.5; // seconds after a picture, from which the state tells how late the stream is

export class Watch {
  // `handlers`: picture(picture), as from LiveStream; news(state), the newest that is known of the
  // doorbell; login(), when it wants the password.
  constructor(clock, handlers) {
    this.key = "";
    this.news = null;
    this._clock = clock;
    this._handlers = handlers;
    this._isOn = false;
    this._width = 0; // pixels that the stream was asked for
    this._wanted = 0; // and that the screen can show
    this._wantedAt = 0;
    this._widest = 0; // pixels of the pictures that the daemon has made for it
    this._stream = new LiveStream({
      opened: (answer) => this._opened(answer),
      picture: (picture) => this._picture(picture),
      state: (state, receivedAt) => this._state(state, receivedAt),
      end: (end) => this._end(end),
    });
    this._snapshots = new Snapshots(handlers.picture, (status) => this._status(status));
    this._nextAt = -Infinity;
    this._retries = 0;
    this._pace = new Pace();
    this._reset(0);
  }

  // Begin to watch, on a screen of so many pixels.
  start(width) {
    if (this._isOn) return;
    const now = monotonic();
    this._isOn = true;
    this._wanted = width;
    this._reset(now);
    this._retries = 0;
    this.look(now);
  }

  // End every connection at once.
  stop() {
    if (!this._isOn) return;
    this._isOn = false;
    this._close();
    this._snapshots.stop();
    this._nextAt = monotonic() + CHURN;
  }

  // Try at once: the network is perhaps back.
  hurry() {
    if (this._isOn && this._stream.isClosed) this._nextAt = -Infinity;
  }

  // Call this several times a second. `width` is as for start().
  look(now, width = this._wanted) {
    if (!this._isOn) return;
    if (width !== this._wanted) this._wantedAt = now;
    this._wanted = width;
    this._notice(now);
    if (this._stream.isClosed) {
      if (now >= this._nextAt) this._open(now);
    } else if (this._isDead(now)) {
      this._failed(now);
    } else if (this._stream.isOpen) {
      this._keepUp(now);
    }
    if (this._answered === 503) this._snapshots.look(now);
  }

  // A picture has come onto the screen.
  drawn(picture, at) {
    this._shown = picture;
    this._pace.lag = this._clock.age(picture.timestamp, at);
  }

  // There is no picture on the screen any more.
  cleared() {
    this._shown = null;
  }

  // What judge() in states.js wants to know, but for the shutter.
  facts(now) {
    const { camera = null } = this.news || {};
    return {
      hidden: !this._isOn,
      status: this._answered,
      text: this._text,
      isOpen: this._stream.isOpen,
      failures: this._failures,
      silence: this._silence(now),
      heardAt: this._heardAt(now),
      hasEnded: this._hasEnded,
      online: navigator.onLine,
      camera,
      cameraAge: this._cameraAge,
      age: this._shown ? this._clock.age(this._shown.timestamp, now) : null,
      lag: this._pace.lag,
      pause: this._pace.pause,
      smaller: this._isSmaller(camera),
      canShrink: this._canShrink(),
      isLimited: this._isLimited,
      limit: this._limit,
    };
  }

  // Opening and closing

  _reset(now) {
    this.news = null;
    this._shown = null;
    this._answered = 0;
    this._text = "";
    this._limit = 0;
    this._failures = 0;
    this._hasEnded = false;
    this._startedAt = now;
    this._lookedAt = now;
    this._stallUntil = now;
    this._difference = Date.now() / 1000 - now;
    this._openedAt = now;
    this._askedAt = -Infinity;
    this._isAsking = null;
    this._isLimited = false;
    this._isUnderstood = false; // The stream has brought a state, as it must.
    this._cameraAge = 0;
    this._pictureAt = -Infinity;
  }

  _open(now) {
    const random = crypto.getRandomValues(new Uint32Array(2));
    this.key = Array.from(random, (number) => number.toString(36)).join("");
    const query = new URLSearchParams({ v: 1, key: this.key, quality: "auto" });
    if (this._width !== this._wanted) this._widest = 0;
    this._width = this._wanted;
    if (this._width) query.set("width", Math.round(this._width));
    const wish = this._pace.wish(now, this._canShrink());
    if (wish) query.set("rate", Math.round(wish.rate));
    this._isLimited = Boolean(wish && wish.fps);
    if (this._isLimited) query.set("fps", wish.fps.toFixed(2));
    this._openedAt = now;
    this._isUnderstood = false;
    this._pace.begin(now);
    this._stream.open(query);
  }

  _close() {
    this._stream.close();
    if (this._isAsking) this._isAsking.abort();
    this._isAsking = null;
  }

  _failed(now) {
    this._close();
    this._failures += 1;
    this._retry(now);
  }

  _retry(now) {
    this._nextAt = now + RETRY[Math.min(this._retries, RETRY.length - 1)];
    this._retries += 1;
  }

  _isDead(now) {
    if (!this._stream.isOpen) return now - this._openedAt > UNANSWERED;
    return this._silence(now) > SILENT;
  }

  _opened({ serverNow, sentAt, receivedAt }) {
    this._clock.learn(serverNow, sentAt, receivedAt);
    this._answered = 0;
    this._hasEnded = false;
    this._snapshots.stop();
  }

  _end({ status, text, hasEnded }) {
    const now = monotonic();
    if (status === 401) this._handlers.login();
    this._hasEnded = hasEnded || (this._hasEnded && status === 0);
    const isStream = status === 200;
    this._answered = isStream ? 0 : status;
    this._text = text;
    if (status !== 503) this._snapshots.stop();
    if (isStream && now - this._openedAt > SETTLED) this._retries = 0;
    this._failures += isStream && this._isUnderstood ? 0 : 1;
    this._retry(now);
  }

  // What comes

  _picture(picture) {
    const { receivedAt } = picture;
    this._pictureAt = receivedAt;
    this._cameraAge = 0;
    this._widest = Math.max(this._widest, picture.quality);
    this._pace.picture(picture.blob.size, receivedAt);
    this._clock.hear(picture.timestamp, receivedAt);
    this._handlers.picture(picture);
  }

  _state(state, receivedAt) {
    this._clock.hear(state.now, receivedAt);
    this._cameraAge = state.camera.age_ms / 1000;
    const isAlone = receivedAt - this._pictureAt > ALONE;
    if (isAlone) this._pace.lag = this._clock.age(state.now, receivedAt);
    this._learnNews(state);
    this._isUnderstood = true;
    this._failures = 0;
  }

  _status(status) {
    this._limit = status.limits.max_viewers;
    this._learnNews(status);
  }

  _learnNews(state) {
    if (this.news && this.news.camera.width !== state.camera.width) this._widest = 0;
    this.news = state;
    this._handlers.news(state);
  }

  // Time

  // Seconds since the last byte came. A moment in which this page itself stood still does not
  // count: what came in that time is not read yet.
  _silence(now) {
    return now - Math.max(this._stream.heardAt, this._startedAt, this._stallUntil);
  }

  _heardAt(now) {
    const { heardAt } = this._stream;
    return heardAt > 0 ? Date.now() / 1000 - (now - heardAt) : 0;
  }

  _notice(now) {
    if (now - this._lookedAt > 1) this._stallUntil = now;
    this._lookedAt = now;
    const difference = Date.now() / 1000 - now;
    if (Math.abs(difference - this._difference) > JUMP) {
      // This device has slept, and its connection did not survive, or its clock was set.
      this._clock.forget();
      this._close();
      this._nextAt = now;
    }
    this._difference = difference;
  }

  // The user has enlarged the picture, or turned the phone: what comes is coarse on this screen,
  // and the link carries more.
  _isCoarse(now) {
    const { camera = null } = this.news || {};
    const isReduced = this._shown && this._shown.quality > 0 && !this._isSmaller(camera);
    return isReduced && now - this._wantedAt > CALM && this._wanted > WIDER * this._width
      && this._width < (camera.width || Infinity);
  }

  // Falling behind

  _keepUp(now) {
    if (this._isCoarse(now)) {
      this._close();
      this._nextAt = now + CHURN; // The place of this stream is free by then.
      return;
    }
    this._pace.sample(this._stream.received, now);
    if (this._pace.isToReport(now)) this._report();
    else if (this._clock.isVague(now)) this._askTime(now);
    const isOver = this._isLimited && now - this._openedAt > LIMITED;
    if (!isOver && !this._pace.isToGiveUp(now)) return;
    this._close();
    this._open(now);
  }

  _report() {
    const { lag, rate } = this._pace;
    const query = new URLSearchParams({
      key: this.key, age: lag.toFixed(3), rate: Math.round(rate),
    });
    this._ask(`live/report?${query}`, "POST");
  }

  _askTime(now) {
    if (now - this._askedAt < ASK_EACH) return;
    this._askedAt = now;
    this._ask("live?v=1", "HEAD");
  }

  // Each answer says what the daemon's clock says.
  async _ask(url, method) {
    if (this._isAsking) return;
    const abort = new AbortController();
    this._isAsking = abort;
    try {
      const sentAt = monotonic();
      const answer = await fetch(url, { method, cache: "no-store", signal: abort.signal });
      const serverNow = Number(answer.headers.get("X-Now"));
      if (serverNow) this._clock.learn(serverNow, sentAt, monotonic());
    } catch (error) {
      // Without an answer nothing is learnt.
    }
    if (this._isAsking === abort) this._isAsking = null;
  }

  _canShrink() {
    return !this.news || this.news.quality !== "full";
  }

  _isSmaller(camera) {
    const quality = this._shown ? this._shown.quality : 0;
    if (!quality || !camera) return false;
    // How much smaller than this screen the daemon has to make them, only it knows.
    const isWhole = !this._width || this._width >= camera.width;
    return quality < (isWhole ? 0.9 * camera.width : this._widest);
  }
}
