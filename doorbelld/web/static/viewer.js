// One visit: its still first, then its film, and what can be done with it.

import { ask, blob, json, nothing, Refusal } from "./answers.js";
import { Film } from "./film.js";
import { Recent } from "./recent.js";
import { kindOf, nameOf, reasonOf, remarksOf } from "./row.js";
import { fileOf, keep } from "./snapshot.js";
import { clock, say } from "./words.js";

const LOOK_MS = 1500; // between two questions for a visit that goes on

const place = (id) => document.getElementById(id);

export class Viewer {
  // `clock` is the daemon's. The handlers: close() when the user wants to go back, notice(text),
  // answered() when the visit is, gone(id) when it is not there any more.
  constructor(clock, handlers) {
    this.visit = null;
    this._handlers = handlers;
    this._film = new Film({
      shown: () => this._begun(),
      failed: (error) => this._failed(error),
    });
    this._recent = new Recent(clock);
    this._timer = 0;
    this._listen();
  }

  get isOpen() {
    return this.visit !== null;
  }

  // Show a visit, as the list knows it.
  open(visit) {
    this.close();
    this.visit = visit;
    place("viewer").hidden = false;
    this._showStill();
    this._describe();
    this._askAgain(false);
    place("viewer-title").focus({ preventScroll: true });
    place("viewer").scrollTop = 0;
    this._look();
  }

  close() {
    clearTimeout(this._timer);
    this._film.close();
    this.visit = null;
    place("viewer").hidden = true;
    place("still").removeAttribute("src");
  }

  // The doorbell tells something new of it.
  learn(visit) {
    const still = this.visit.still;
    this.visit = Object.assign({}, this.visit, visit);
    if (this.visit.still !== still) this._showStill();
    this._describe();
  }

  // Call this about every second: a visit is not recent for ever, and its time is said with the
  // date on another day.
  look(isAnotherDay) {
    if (!this.isOpen) return;
    if (isAnotherDay) this._describe();
    else this._recent.show(this.visit);
  }

  _listen() {
    const { close } = this._handlers;
    place("viewer-back").addEventListener("click", close);
    place("answered").addEventListener("click", ({ currentTarget }) => (
      this._busy(currentTarget, () => this._answer())
    ));
    place("save-still").addEventListener("click", ({ currentTarget }) => (
      this._busy(currentTarget, () => this._saveStill())
    ));
    place("save-film").addEventListener("click", ({ currentTarget }) => (
      this._busy(currentTarget, () => this._saveFilm())
    ));
    place("delete").addEventListener("click", () => this._askAgain(true));
    place("delete-no").addEventListener("click", () => {
      this._askAgain(false);
      place("delete").focus();
    });
    place("delete-yes").addEventListener("click", ({ currentTarget }) => (
      this._busy(currentTarget, () => this._delete())
    ));
    place("viewer").addEventListener("keydown", (event) => this._key(event));
  }

  // Words and pictures

  _showStill() {
    const { still } = this.visit;
    place("still").hidden = !still;
    place("nothing").hidden = Boolean(still);
    if (still) place("still").src = still;
    else place("nothing").textContent = this._nothing();
  }

  _nothing() {
    return [say("visits.nothing"), reasonOf(this.visit)].filter(Boolean).join(": ");
  }

  _describe() {
    const { visit } = this;
    const time = clock(visit.at);
    const facts = remarksOf(visit).map(([, text]) => text).join(" · ");
    if (place("viewer-title").textContent !== nameOf(visit)) {
      place("viewer-title").textContent = nameOf(visit);
    }
    if (place("viewer-facts").textContent !== facts) place("viewer-facts").textContent = facts;
    const alt = say("visits.still", { kind: kindOf(visit), time });
    place("still").alt = alt;
    place("film").setAttribute("aria-label", alt);
    this._recent.show(visit);
    place("save-still").hidden = !visit.still;
    place("save-film").hidden = !(Array.isArray(visit.frames) ? visit.frames.length : visit.frames);
  }

  // The first picture of the film is on the screen, in place of the still.
  _begun() {
    place("still").hidden = place("nothing").hidden = true;
  }

  // What the doorbell knows; again and again while the visit goes on.
  async _look() {
    const { id } = this.visit;
    try {
      const visit = await ask(`visits/${id}.json`, json);
      if (!this.visit || this.visit.id !== id) return;
      this.learn(visit);
      this._film.set(visit);
      if (visit.state !== "open") return;
    } catch (error) {
      if (!this.visit || this.visit.id !== id) return;
      this._failed(error);
      if (!(error instanceof Refusal) || error.status === 404) return;
    }
    this._timer = setTimeout(() => this._look(), LOOK_MS);
  }

  _failed(error) {
    this._film.pause();
    this._handlers.notice(error.message);
    if (error.status === 404 && this.visit) this._handlers.gone(this.visit.id);
  }

  _key(event) {
    const isRange = event.target.tagName === "INPUT";
    if (event.key === "Escape") this._handlers.close();
    else if (event.key === "ArrowLeft" && !isRange) this._film.step(-1);
    else if (event.key === "ArrowRight" && !isRange) this._film.step(1);
    else return;
    event.preventDefault();
  }

  // What can be done

  async _busy(button, act) {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (error) {
      // AbortError: the user does not want to share it after all.
      if (error.name !== "AbortError") this._failed(error);
    } finally {
      button.setAttribute("aria-busy", "false");
    }
  }

  async _answer() {
    const { id } = this.visit;
    const { answered } = await ask(`visits/${id}/answered`, json, { method: "POST" });
    if (!this.visit || this.visit.id !== id) return;
    this.learn({ answered });
    this._handlers.answered();
  }

  // The picture on the screen, named by its own time.
  async _saveStill() {
    const { at, still } = this.visit;
    const shown = this._film.shown;
    const picture = shown
      ? { blob: shown.blob, timestamp: at + shown.moment }
      : { blob: await ask(still, blob), timestamp: at };
    this._handlers.notice(say(await keep(fileOf(picture, place("name").textContent))));
  }

  // A browser says nothing useful when a download fails, so ask first.
  async _saveFilm() {
    const { id, at } = this.visit;
    await ask(`visits/${id}.mjpeg`, nothing, { method: "HEAD" });
    const link = document.createElement("a");
    link.href = `visits/${id}.mjpeg`;
    const { name } = fileOf({ blob: "", timestamp: at }, place("name").textContent);
    link.download = name.replace(/\.jpg$/, ".mjpeg");
    link.click();
  }

  _askAgain(isAsking) {
    place("delete-ask").hidden = !isAsking;
    place("deeds").hidden = isAsking;
    if (isAsking) place("delete-no").focus();
  }

  async _delete() {
    const { id } = this.visit;
    this._film.rest(); // or it would find its pictures gone
    clearTimeout(this._timer);
    try {
      await ask(`visits/${id}/delete`, nothing, { method: "POST" });
    } catch (error) {
      this._askAgain(false);
      if (error.status !== 404) {
        this._timer = setTimeout(() => this._look(), LOOK_MS);
        throw error;
      }
    }
    this._handlers.notice(say("visits.delete.done"));
    this._handlers.gone(id);
  }
}
