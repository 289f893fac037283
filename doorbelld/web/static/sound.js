// Sound: whether the page chimes. Browsers let a page make a sound only after someone has touched
// it, and forget that when it is loaded again: then the button says that it wants a tap.

import { chime } from "./chime.js";
import { say } from "./words.js";

const KEY = "sound";
const WAKE_MS = 500; // until the browser must have let the page make a sound
const SETTLE_MS = 1500; // likewise, when the page has just been loaded
const PATTERN = [300, 150, 300]; // ms that a phone vibrates, pauses, and vibrates
const TOUCHES = ["click", "touchend", "keydown"]; // what lets a page make a sound, in any browser

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Sound {
  // `notice` says what went wrong.
  constructor(stage, notice) {
    this.isOn = false; // as the user wants it
    this._stage = stage;
    this._notice = notice;
    this._button = document.getElementById("sound");
    this._context = null;
    this._isSettled = true;
    this._isTouched = false;
    this._Context = window.AudioContext || window.webkitAudioContext;
    this._button.hidden = !this._Context;
    this._button.addEventListener("click", () => this._press());
    for (const kind of TOUCHES) {
      document.addEventListener(kind, (event) => this._touch(event), { capture: true, passive: true });
    }
    if (this._Context && isRemembered()) this._settle();
    this._show();
  }

  // Someone has rung.
  async ring() {
    // Browsers complain about pages that vibrate and were never touched.
    if (this._isTouched && navigator.vibrate) navigator.vibrate(PATTERN);
    // A chime that comes late would be another ring.
    if (this.isOn && (await this._wake())) chime(this._context);
    this._show();
  }

  get _isSilenced() {
    return this.isOn && this._isSettled && this._context.state !== "running";
  }

  async _settle() {
    this.isOn = true;
    this._open();
    this._isSettled = false;
    await pause(SETTLE_MS);
    this._isSettled = true;
    this._show();
    if (this._isSilenced) this._notice(say("sound.silenced"));
  }

  _press() {
    if (this.isOn && !this._isSilenced) this._turnOff();
    else this._turnOn();
  }

  async _turnOn() {
    this.isOn = this._isSettled = true;
    remember(true);
    this._open();
    const isAwake = await this._wake();
    if (isAwake) chime(this._context); // as a promise of how it will be
    else this._notice(say("sound.refused"));
    this._show();
  }

  _turnOff() {
    this.isOn = false;
    remember(false);
    this._context.close();
    this._context = null;
    this._show();
  }

  _open() {
    if (this._context) return;
    this._context = new this._Context();
    this._context.onstatechange = () => this._show();
  }

  // Returns whether the page can be heard.
  async _wake() {
    const context = this._context;
    try {
      await Promise.race([context.resume(), pause(WAKE_MS)]);
    } catch (error) {
      // It has been closed, or there is no loudspeaker.
    }
    return this._context === context && context.state === "running";
  }

  // A touch anywhere will do. That of the button itself is its own matter.
  _touch({ target }) {
    this._isTouched = true;
    if (this.isOn && !this._button.contains(target)) this._wake().then(() => this._show());
  }

  _show() {
    const state = !this.isOn ? "off" : this._isSilenced ? "silenced" : "on";
    const says = { off: "sound.on", on: "sound.off", silenced: "sound.tap" };
    if (this._stage.dataset.sound === state) return;
    this._stage.dataset.sound = state;
    document.getElementById("sound-label").textContent = say(says[state]);
    this._button.title = say(state === "silenced" ? "sound.silenced" : says[state]);
  }
}

function isRemembered() {
  try {
    return localStorage.getItem(KEY) === "on";
  } catch (error) {
    return false;
  }
}

function remember(isOn) {
  try {
    if (isOn) localStorage.setItem(KEY, "on");
    else localStorage.removeItem(KEY);
  } catch (error) {
    // This browser keeps nothing.
  }
}
