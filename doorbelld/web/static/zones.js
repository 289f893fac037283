// Parts of the picture in which motion does not count: drawn here, and written as the line that the
// owner puts into the configuration. The page itself cannot write there.

import { ask, blob, json } from "./answers.js";
import { element } from "./row.js";
import { say } from "./words.js";

const LEAST = 0.02; // of the picture
const STEP = 0.01; // for a key
const MOST = 32; // parts, as the daemon takes them
const SPARE = { left: 0.35, top: 0.35, width: 0.3, height: 0.3 }; // a new one, by a button
const MOVES = {
  ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP],
};

const place = (id) => document.getElementById(id);
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
const percent = (part) => Math.round(100 * part);

// As the configuration has it: LEFT TOP WIDTH HEIGHT in fractions.
export function lineOf(zones) {
  const parts = zones.map(({ left, top, width, height }) => (
    [left, top, width, height].map((each) => each.toFixed(2)).join(" ")
  ));
  return `ignore = ${parts.join(", ") || "none"}`;
}

// Two corners of a part, in whole hundredths and inside the picture.
export function between(one, other) {
  const round = (value) => Math.round(clamp(value, 0, 1) * 100) / 100;
  const [left, right] = [one.x, other.x].map(round).sort((a, b) => a - b);
  const [top, bottom] = [one.y, other.y].map(round).sort((a, b) => a - b);
  return { left, top, width: right - left, height: bottom - top };
}

export class Zones {
  // The handlers: close() when the user wants to go back, notice(text).
  constructor(handlers) {
    this._handlers = handlers;
    this._zones = [];
    this._isRead = false; // the parts that the doorbell ignores now
    this._at = -1; // the one that is chosen
    this._url = "";
    this._board = place("board");
    this._listen();
  }

  open(visit) {
    place("zones").hidden = false;
    place("zones").scrollTop = 0;
    this._show();
    this._fit();
    place("zones-title").focus({ preventScroll: true });
    this._loadPicture(visit);
    if (!this._isRead) this._read();
  }

  close() {
    place("zones").hidden = true;
    if (this._url) URL.revokeObjectURL(this._url);
    this._url = "";
    place("zones-picture").removeAttribute("src");
  }

  _listen() {
    const { close } = this._handlers;
    place("zones-back").addEventListener("click", close);
    place("zones-add").addEventListener("click", () => this._add(Object.assign({}, SPARE)));
    place("zones-remove").addEventListener("click", () => this._remove());
    place("zones-copy").addEventListener("click", () => this._copy());
    place("zones-picture").addEventListener("load", () => this._fit());
    place("zones-picture").alt = say("zones.picture");
    window.addEventListener("resize", () => this._fit());
    place("zones").addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
    this._board.addEventListener("pointerdown", (event) => this._press(event));
  }

  // What is there already

  async _loadPicture(visit) {
    try {
      const picture = await ask("snapshot.jpg", blob);
      if (place("zones").hidden) return;
      this._url = URL.createObjectURL(picture);
      place("zones-picture").src = this._url;
    } catch (error) {
      if (place("zones").hidden) return;
      if (visit && visit.still) place("zones-picture").src = visit.still;
      else this._handlers.notice(say("zones.blind"));
    }
  }

  async _read() {
    try {
      const status = await ask("status?key=", json);
      const known = (status.visits && status.visits.ignore) || [];
      this._isRead = true;
      if (!Array.isArray(known)) return;
      // On a slow link the user may have drawn some by now: they come after those there are.
      this._zones = known.map(([left, top, width, height]) => (
        between({ x: left, y: top }, { x: left + width, y: top + height })
      )).concat(this._zones).slice(0, MOST);
      if (this._at >= 0) this._at = Math.min(this._at + known.length, MOST - 1);
      this._show();
    } catch (error) {
      this._handlers.notice(error.message);
    }
  }

  // Showing

  // The board is exactly as large as the picture in it.
  _fit() {
    const { naturalWidth, naturalHeight } = place("zones-picture");
    const { clientWidth, clientHeight } = this._board.parentNode;
    const shape = naturalWidth ? naturalWidth / naturalHeight : 4 / 3;
    const width = Math.min(clientWidth, clientHeight * shape);
    this._board.style.width = `${width}px`;
    this._board.style.height = `${width / shape}px`;
  }

  _show() {
    const hadFocus = this._board.contains(document.activeElement);
    for (const each of Array.from(this._board.querySelectorAll(".zone"))) each.remove();
    this._zones.forEach((zone, index) => this._board.append(this._button(zone, index)));
    if (hadFocus && this._at >= 0) this._buttonAt(this._at).focus({ preventScroll: true });
    place("zones-remove").disabled = this._at < 0;
    place("zones-line").value = lineOf(this._zones);
  }

  _button(zone, index) {
    const button = element("button", "zone");
    button.type = "button";
    for (const side of ["left", "top", "width", "height"]) {
      button.style[side] = `${100 * zone[side]}%`;
    }
    button.setAttribute("aria-pressed", String(index === this._at));
    button.setAttribute("aria-label", say("zones.zone", {
      number: index + 1,
      left: percent(zone.left),
      top: percent(zone.top),
      width: percent(zone.width),
      height: percent(zone.height),
    }));
    button.addEventListener("click", () => this._choose(index));
    button.addEventListener("keydown", (event) => this._key(event, index));
    if (index === this._at) button.append(element("span", "handle"));
    return button;
  }

  _buttonAt(index) {
    return this._board.querySelectorAll(".zone")[index];
  }

  // Changing

  _choose(index) {
    this._at = index;
    this._show();
  }

  _add(zone) {
    if (this._zones.length >= MOST) {
      this._handlers.notice(say("zones.many", { count: MOST }));
      return;
    }
    this._zones.push(zone);
    this._choose(this._zones.length - 1);
    this._buttonAt(this._at).focus({ preventScroll: true });
  }

  _remove() {
    if (this._at < 0) return;
    this._zones.splice(this._at, 1);
    this._choose(-1);
    place("zones-add").focus();
  }

  _key(event, index) {
    this._at = index;
    const { key, shiftKey } = event;
    if (key === "Delete" || key === "Backspace") {
      this._remove();
    } else if (key in MOVES) {
      const [x, y] = MOVES[key];
      if (shiftKey) this._resize(this._zones[index], x, y);
      else this._move(this._zones[index], x, y);
    } else {
      return;
    }
    event.preventDefault();
  }

  _move(zone, x, y) {
    this._set({
      left: clamp(zone.left + x, 0, 1 - zone.width),
      top: clamp(zone.top + y, 0, 1 - zone.height),
      width: zone.width,
      height: zone.height,
    });
  }

  _resize(zone, x, y) {
    this._set({
      left: zone.left,
      top: zone.top,
      width: clamp(zone.width + x, LEAST, 1 - zone.left),
      height: clamp(zone.height + y, LEAST, 1 - zone.top),
    });
  }

  _set(zone) {
    this._zones[this._at] = between(
      { x: zone.left, y: zone.top },
      { x: zone.left + zone.width, y: zone.top + zone.height },
    );
    this._show();
  }

  // A finger or a mouse: in a corner of the chosen part it changes its size, on a part it moves it,
  // elsewhere it draws a new one.
  _press(event) {
    if (event.button) return;
    const start = this._point(event);
    const button = event.target.closest(".zone");
    const isHandle = event.target.classList.contains("handle");
    if (button) this._choose(Array.from(this._board.querySelectorAll(".zone")).indexOf(button));
    else this._at = -1;
    const zone = button ? Object.assign({}, this._zones[this._at]) : null;
    const drag = (moved) => {
      const { x, y } = this._point(moved);
      if (!zone) this._draw(start, { x, y });
      else if (isHandle) this._resize(zone, x - start.x, y - start.y);
      else this._move(zone, x - start.x, y - start.y);
    };
    const leave = () => {
      this._board.removeEventListener("pointermove", drag);
      this._show();
    };
    this._board.setPointerCapture(event.pointerId);
    this._board.addEventListener("pointermove", drag);
    for (const end of ["pointerup", "pointercancel"]) {
      this._board.addEventListener(end, leave, { once: true });
    }
  }

  _draw(start, end) {
    const zone = between(start, end);
    const isLarge = zone.width >= LEAST && zone.height >= LEAST;
    if (this._at >= 0) {
      if (isLarge) this._zones[this._at] = zone;
      this._show();
    } else if (isLarge) {
      this._add(zone);
    }
  }

  _point({ clientX, clientY }) {
    const { left, top, width, height } = this._board.getBoundingClientRect();
    return { x: clamp((clientX - left) / width, 0, 1), y: clamp((clientY - top) / height, 0, 1) };
  }

  // Without HTTPS browsers only let us copy what is selected.
  async _copy() {
    const line = place("zones-line");
    try {
      await navigator.clipboard.writeText(line.value);
    } catch (error) {
      line.select();
      document.execCommand("copy");
    }
    this._handlers.notice(say("zones.copied"));
  }
}
