// The film of a visit on the screen: its pictures on a canvas, the buttons, the time.

import { monotonic } from "./live.js";
import { Painter } from "./painter.js";
import { Frames, Player } from "./player.js";
import { Scrubber } from "./scrubber.js";
import { decimal, exactTime, say } from "./words.js";

const PLAY = "M8 5v14l11-7Z";
const PAUSE = "M7.5 6h2v12h-2ZM14.5 6h2v12h-2Z";

const AT_FIRST = 8; // pictures that are there before the user wants to see them

const place = (id) => document.getElementById(id);

export class Film {
  // The handlers: shown() when a picture is on the screen, failed(error).
  constructor(handlers) {
    this.shown = null; // {blob, moment}, the picture on the screen
    this._handlers = handlers;
    this._visit = null;
    this._frames = null;
    this._player = null;
    this._isUsed = false; // The user wants to see it, and not the still.
    this._isTicking = false;
    this._canvas = place("film");
    this._context = this._canvas.getContext("2d", { alpha: false });
    this._painter = new Painter(this, (picture) => this._drawn(picture));
    this._scrubber = new Scrubber(place("scrubber"), (index) => this._seek(index));
    place("play").addEventListener("click", () => this._toggle());
    place("earlier").addEventListener("click", () => this.step(-1));
    place("later").addEventListener("click", () => this.step(1));
    place("screen").addEventListener("click", () => this._player && this._toggle());
    document.addEventListener("visibilitychange", () => document.hidden && this.pause());
  }

  // The film as far as it is. It may have become longer.
  set(visit) {
    this._visit = visit;
    if (!visit.frames.length) return;
    if (!this._player) this._begin(visit.id);
    const { times } = this._player;
    this._player.times = visit.frames;
    this._player.isOpen = visit.state === "open";
    if (times.length !== visit.frames.length) this._scrubber.set(visit.frames.length, this._marks());
    if (!this._isUsed) this._frames.want(0, 1, Math.min(AT_FIRST, visit.frames.length));
    this._tell();
  }

  close() {
    if (this._frames) this._frames.close();
    this._frames = this._player = this._visit = this.shown = null;
    this._isUsed = false;
    this._painter.drop();
    this._canvas.hidden = true;
    place("time").textContent = "";
    place("player").hidden = place("start").hidden = true;
  }

  play() {
    this._isUsed = true;
    this._player.play(monotonic());
    place("play").focus({ preventScroll: true });
    this._run();
  }

  pause() {
    if (this._player) this._player.pause();
    this._tell();
  }

  // Fetch nothing more until the user wants to see something.
  rest() {
    this.pause();
    if (this._frames) this._frames.close();
  }

  step(pictures) {
    if (!this._player) return;
    this._player.pause();
    this._seek(this.shown ? this._player.index + pictures : 0);
  }

  // For the painter.
  draw(source) {
    const canvas = this._canvas;
    if (canvas.width !== source.width || canvas.height !== source.height) {
      canvas.width = source.width;
      canvas.height = source.height;
    }
    this._context.drawImage(source, 0, 0);
  }

  _begin(id) {
    this._frames = new Frames(id, {
      came: () => this._tick(),
      failed: this._handlers.failed,
    });
    this._player = new Player(this._frames, (index, blob) => {
      this._painter.show({ blob, moment: this._player.times[index], id });
    });
    place("player").hidden = place("start").hidden = false;
  }

  _toggle() {
    if (this._player.isPlaying) this.pause();
    else this.play();
  }

  _seek(index) {
    this._isUsed = true;
    this._player.seek(index, monotonic());
    this._run();
  }

  _drawn(picture) {
    if (!this._visit || picture.id !== this._visit.id) return;
    if (!this.shown) this._handlers.shown();
    this.shown = picture;
    this._canvas.hidden = false;
    this._tell();
  }

  _tick() {
    if (!this._isUsed) return;
    this._player.tick(monotonic());
    this._tell();
  }

  // As often as the screen is drawn, while the film plays.
  _run() {
    this._tell();
    if (this._isTicking || !this._player || !this._player.isPlaying) return;
    this._isTicking = true;
    requestAnimationFrame(() => {
      this._isTicking = false;
      if (this._player) this._player.tick(monotonic());
      this._run();
    });
  }

  // The pictures of the first press and of the last one.
  _marks() {
    const { at, pressed_at: pressedAt, frames } = this._visit;
    const indexAt = (moment) => {
      const index = frames.findIndex((each) => each >= moment);
      return index < 0 ? frames.length - 1 : index;
    };
    return Array.from(new Set([indexAt(0), indexAt(pressedAt - at)]));
  }

  // Times, buttons and the scrubber say what is so; what has not changed is not written.
  _tell() {
    const player = this._player;
    if (!player) return;
    const { isPlaying, isWaiting, index } = player;
    const button = isPlaying ? "visits.pause" : "visits.play";
    if (place("play").dataset.does !== button) {
      place("play").dataset.does = button;
      place("play-label").textContent = place("play").title = say(button);
      place("play-icon").setAttribute("d", isPlaying ? PAUSE : PLAY);
    }
    place("start").hidden = isPlaying || Boolean(this.shown);
    if (isWaiting) place("player").dataset.waiting = "";
    else delete place("player").dataset.waiting;
    const moment = player.times[index] || 0;
    const sign = moment < 0 ? "−" : "+";
    const text = `${exactTime(this._visit.at + moment)} (${sign}${decimal(Math.abs(moment), 1)} s)`;
    if (text === place("time").textContent) return;
    place("time").textContent = text;
    this._scrubber.show(index, text);
  }
}
