// The page: the picture on the screen is live, or the badge says what it is instead.

import { Bell } from "./bell.js";
import { DaemonClock } from "./clock.js";
import { Controls } from "./controls.js";
import { monotonic } from "./live.js";
import { News } from "./news.js";
import { Painter } from "./painter.js";
import { Panel } from "./panel.js";
import { Screen } from "./screen.js";
import { Shutter } from "./shutter.js";
import { snapshot } from "./snapshot.js";
import { Calm, judge } from "./states.js";
import { Watch } from "./watch.js";
import { Watchers } from "./watchers.js";
import { translate } from "./words.js";

const LOOK_MS = 200;
const LISTEN = { retry: [1, 3, 10, 30], delay: 0.5 }; // The page may be hidden for a moment only.

class Page {
  constructor() {
    const stage = document.getElementById("stage");
    translate();
    this._panel = new Panel(stage);
    this._controls = new Controls(stage);
    this._screen = new Screen(stage, document.getElementById("picture"));
    this._painter = new Painter(this._screen, (picture, at) => this._drawn(picture, at));
    this._clock = new DaemonClock();
    const notice = (text) => this._controls.notice(text);
    const entitle = (isRinging) => this._panel.ring(isRinging);
    this._bell = new Bell(stage, { clock: this._clock, notice, entitle });
    this._shutter = new Shutter(stage, notice);
    this._watchers = new Watchers(() => this._watch.key);
    const news = (state) => this._learn(state);
    const login = () => this._logIn();
    this._watch = new Watch(this._clock, { picture: (picture) => this._show(picture), news, login });
    this._listen = this._listener(login);
    this._calm = new Calm();
    this._timer = 0;
    this._isOver = false;
    this._news = {};
    this._panel.label();
  }

  // What hears the bell while there is no picture.
  _listener(login) {
    const opened = ({ serverNow, sentAt, receivedAt }) => {
      this._clock.learn(serverNow, sentAt, receivedAt);
    };
    const state = (news, receivedAt) => {
      this._clock.hear(news.now, receivedAt);
      this._learn(news);
    };
    return new News({ opened, state, login, look: () => this._bell.look() }, LISTEN);
  }

  listen() {
    const follow = () => this._follow();
    const pause = () => this._pause();
    document.addEventListener("visibilitychange", follow);
    window.addEventListener("pageshow", follow); // from the back/forward cache
    window.addEventListener("pagehide", pause);
    document.addEventListener("freeze", pause);
    document.addEventListener("resume", follow);
    window.addEventListener("online", () => this._watch.hurry());
    window.addEventListener("fallback", () => this._end());
    document.getElementById("snapshot")
      .addEventListener("click", ({ currentTarget }) => this._keep(currentTarget));
    document.getElementById("logout").addEventListener("click", () => this._logOut());
    follow();
  }

  // Shown and hidden

  _follow() {
    if (document.hidden) this._hide();
    else this._start();
  }

  _hide() {
    this._pause();
    if (this._bell.hasSound && !this._isOver) this._listen.start();
  }

  _start() {
    if (this._timer || this._isOver) return;
    this._listen.stop();
    this._news = {};
    this._timer = setInterval(() => this._look(), LOOK_MS);
    this._watch.start(this._screen.width);
    this._look();
  }

  _pause() {
    clearInterval(this._timer);
    this._timer = 0;
    this._watch.stop();
    this._listen.stop();
    this._painter.drop();
    this._look();
  }

  // fallback.js shows the picture from now on.
  _end() {
    this._isOver = true;
    this._pause();
  }

  _look() {
    const now = monotonic();
    this._watch.look(now, this._screen.width);
    const facts = Object.assign(this._watch.facts(now), { shutter: this._news.shutter || null });
    const verdict = this._calm.settle(judge(facts), now);
    this._panel.show(verdict, now);
    if (verdict.state === "offline") this._panel.forget();
    const { shown } = this._painter;
    this._panel.date(shown ? shown.timestamp : null);
    this._bell.look();
    if (!facts.hidden) this._hear(facts.status === 503);
  }

  // While there is no room to watch, this page can at least hear the bell.
  _hear(isFull) {
    if (isFull) this._listen.start();
    else this._listen.stop();
  }

  _learn(state) {
    this._news = Object.assign({}, this._news, state);
    this._panel.learn(state);
    this._watchers.learn(state);
    this._shutter.learn(state);
    this._bell.learn(state);
    if (!this._isShut) return;
    // What the camera saw last must not stay, not even grey.
    this._painter.clear();
    this._watch.cleared();
  }

  get _isShut() {
    const { shutter } = this._news;
    return Boolean(shutter) && shutter.closed;
  }

  _show(picture) {
    if (!this._isShut) this._painter.show(picture);
  }

  _drawn(picture, at) {
    this._watch.drawn(picture, at);
    if (this._calm.shown.state === "connecting") this._look();
  }

  // The buttons

  _keep(button) {
    const isLive = ["live", "slow", "full"].includes(this._calm.shown.state);
    snapshot(button, {
      name: this._panel.name,
      newest: isLive ? this._painter.shown : null,
      notice: (text) => this._controls.notice(text),
    });
  }

  _logIn() {
    this._end();
    location.replace("login");
  }

  async _logOut() {
    this._end();
    await fetch("logout", { method: "POST" }).catch(() => null);
    location.replace("login");
  }
}

// fallback.js has perhaps given up waiting for this script.
if (!window.fallback.isShown) {
  window.fallback.hasBegun = true;
  new Page().listen();
}
