// The scrubber: a range that a thumb, a mouse and the keyboard can move, with marks.

import { element } from "./row.js";

const THUMB = 28; // CSS pixels, as in visits.css

export class Scrubber {
  // `moved` is called with the index that the user has chosen.
  constructor(root, moved) {
    this._range = root.querySelector("input");
    this._marks = root.querySelector(".marks");
    this._range.addEventListener("input", () => moved(Number(this._range.value)));
    // iPhones move a range only by its small thumb.
    const follow = (event) => this._follow(event, moved);
    root.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "touch") return;
      event.preventDefault();
      root.setPointerCapture(event.pointerId);
      root.addEventListener("pointermove", follow);
      follow(event);
    });
    const leave = () => root.removeEventListener("pointermove", follow);
    root.addEventListener("pointerup", leave);
    root.addEventListener("pointercancel", leave);
  }

  // Set how many places there are, and which have a mark.
  set(count, marked) {
    const last = Math.max(count - 1, 0);
    this._range.max = last;
    this._marks.textContent = "";
    for (const index of marked) {
      const mark = element("span", "mark");
      mark.style.left = `${last ? (100 * index) / last : 0}%`;
      this._marks.append(mark);
    }
  }

  // Show where it is, and say so in words.
  show(index, text) {
    this._range.value = index;
    this._range.setAttribute("aria-valuetext", text);
  }

  _follow({ clientX }, moved) {
    const { left, width } = this._range.getBoundingClientRect();
    const part = (clientX - left - THUMB / 2) / (width - THUMB);
    const index = Math.round(Math.min(Math.max(part, 0), 1) * this._range.max);
    if (index !== Number(this._range.value)) moved(index);
  }
}
