// The page: the picture on the screen is live, or the badge says what it is instead.

import { DaemonClock } from "./clock.js";
import { Controls } from "./controls.js";
import { monotonic } from "./live.js";
import { Painter } from "./painter.js";
import { Panel } from "./panel.js";
import { Screen } from "./screen.js";
import { snapshot } from "./snapshot.js";
import { Calm, judge } from "./states.js";
import { Watch } from "./watch.js";
import { translate } from "./words.js";

const LOOK_MS = 200;

class Page {
  constructor() {
    const stage = document.getElementById("stage");
    translate();
    this._panel = new Panel(stage);
    this._controls = new Controls(stage);
    this._screen = new Screen(stage, document.getElementById("picture"));
    this._painter = new Painter(this._screen, (picture, at) => this._drawn(picture, at));
    this._clock = new DaemonClock();
    this._watch = new Watch(this._clock, {
      picture: (picture) => this._painter.show(picture),
      news: (state) => this._panel.learn(state),
      login: () => this._logIn(),
    });
    this._calm = new Calm();
    this._timer = 0;
    this._isOver = false;
    this._panel.label();
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
    if (document.hidden) this._pause();
    else this._start();
  }

  _start() {
    if (this._timer || this._isOver) return;
    this._timer = setInterval(() => this._look(), LOOK_MS);
    this._watch.start(this._screen.width);
    this._look();
  }

  _pause() {
    clearInterval(this._timer);
    this._timer = 0;
    this._watch.stop();
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
    const facts = this._watch.facts(now);
    const verdict = this._calm.settle(judge(facts), now);
    this._panel.show(verdict, now);
    if (verdict.state === "offline") this._panel.forget();
    if (this._painter.shown) this._panel.date(this._painter.shown.timestamp);
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
