// What lies over the picture: the bars, which leave a live picture alone after a moment, full screen,
// and short notices.

import { say } from "./words.js";

const AWAY_MS = 4000; // without a touch, the bars go away
const NOTICE_MS = 4000;
// Who has asked for one of these may need the bars where they are.
const STEADY = [
  "(prefers-reduced-motion: reduce)",
  "(prefers-contrast: more)",
  "(forced-colors: active)",
].map((query) => window.matchMedia(query));
// Safari of 2018 has no pointer events.
const PRESS = window.PointerEvent ? "pointerdown" : "touchstart";
// A button keeps the focus after a touch too: only that of a keyboard counts, where browsers know it.
const FOCUS = window.CSS && CSS.supports("selector(:focus-visible)") ? ":focus-visible" : ":focus";

export class Controls {
  constructor(stage) {
    this.stage = stage;
    this.bars = Array.from(stage.querySelectorAll(".bar"));
    this.awayTimer = 0;
    this.noticeTimer = 0;
    this.pointer = "";
    const wake = () => this.wake();
    const options = { capture: true, passive: true };
    for (const event of [PRESS, "wheel", "keydown", "focusin"]) {
      document.addEventListener(event, wake, options);
    }
    document.addEventListener("pointermove", (event) => this.follow(event), options);
    this.keepFirstTouchFromButtons();
    new MutationObserver(wake).observe(stage, {
      attributes: true,
      attributeFilter: ["data-state", "data-full"],
    });
    new FullScreen(stage, this);
    this.wake();
  }

  // Browsers also report a mouse that rests, when something below it changes.
  follow({ screenX, screenY }) {
    const pointer = `${screenX}, ${screenY}`;
    if (pointer !== this.pointer) this.wake();
    this.pointer = pointer;
  }

  notice(text) {
    const place = document.getElementById("notice");
    place.textContent = text;
    place.hidden = false;
    clearTimeout(this.noticeTimer);
    this.noticeTimer = setTimeout(() => { place.hidden = true; }, NOTICE_MS);
  }

  // app.css decides where and in which states bars that are "away" cannot be seen.
  wake() {
    if (this.stage.dataset.bars !== "here") this.stage.dataset.bars = "here";
    clearTimeout(this.awayTimer);
    this.awayTimer = setTimeout(() => this.leave(), AWAY_MS);
  }

  leave() {
    const focus = this.stage.querySelector(FOCUS);
    const isUsed = focus && this.bars.some((bar) => bar.contains(focus));
    if (isUsed || STEADY.some((query) => query.matches)) this.wake();
    else this.stage.dataset.bars = "away";
  }

  // A finger on a button that cannot be seen brings the bars back, and does nothing else. Screen
  // readers click without a finger: to them, the buttons are always there.
  keepFirstTouchFromButtons() {
    let isFirst = false;
    const isAway = () => getComputedStyle(this.bars[0]).opacity === "0";
    window.addEventListener(PRESS, ({ type, pointerType }) => {
      isFirst = (type === "touchstart" || pointerType === "touch") && isAway();
    }, { capture: true, passive: true });
    window.addEventListener("click", (event) => {
      if (!isFirst) return;
      isFirst = false;
      event.preventDefault();
      event.stopPropagation();
    }, { capture: true });
  }
}

// The picture on the whole screen. Safari has its own name for it, and not at all on iPhones; a frame
// of another page perhaps does not allow it. There the picture at least has the whole window.
class FullScreen {
  constructor(stage, controls) {
    this.stage = stage;
    this.controls = controls;
    const root = document.documentElement;
    const isAllowed = document.fullscreenEnabled || document.webkitFullscreenEnabled;
    this.enter = isAllowed && (root.requestFullscreen || root.webkitRequestFullscreen);
    this.exit = document.exitFullscreen || document.webkitExitFullscreen;
    document.getElementById("fullscreen").addEventListener("click", () => this.toggle());
    for (const event of ["fullscreenchange", "webkitfullscreenchange"]) {
      document.addEventListener(event, () => this.show(Boolean(this.element)));
    }
    document.addEventListener("keydown", ({ key }) => {
      if (key === "Escape" && !this.element) this.show(false);
    });
  }

  get element() {
    return document.fullscreenElement || document.webkitFullscreenElement;
  }

  get isFull() {
    return "full" in this.stage.dataset;
  }

  async toggle() {
    if (!this.enter) {
      this.show(!this.isFull);
      return;
    }
    try {
      await (this.element ? this.exit.call(document) : this.enter.call(document.documentElement));
    } catch (error) {
      this.controls.notice(say("fullscreen.refused"));
      return;
    }
    if (this.element) this.turn();
  }

  // A wide picture on a phone that is held upright: the picture turns, where the browser lets us.
  async turn() {
    const { width, height } = document.getElementById("picture");
    const { orientation } = window.screen;
    if (!orientation || !orientation.lock) return;
    try {
      await orientation.lock(width < height ? "portrait" : "landscape");
    } catch (error) {
      // Only some phones can. The user can turn it.
    }
  }

  show(isFull) {
    if (isFull) this.stage.dataset.full = "";
    else delete this.stage.dataset.full;
    const label = say(isFull ? "fullscreen.leave" : "fullscreen.enter");
    document.getElementById("fullscreen-label").textContent = label;
  }
}
