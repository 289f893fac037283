// The list of visits by day. However many there are, only the rows near the screen are made: the list
// consists of chunks, and one that is far away is empty, and as high as it was.

import { element, rowOf } from "./row.js";
import { dateOf, say } from "./words.js";

const NEAR = 2; // screens
const LARGE = 100; // visits in a chunk

const day = ({ at }) => dateOf(at, say("visits.today"), say("visits.yesterday"));

export class VisitList {
  // `wanted` is called when the end comes near.
  constructor(place, wanted) {
    this._place = place;
    this._wanted = wanted;
    this._chunks = []; // {element, visits, isMade}
    this._isPlanned = false;
    this._today = new Date().toDateString();
    const plan = () => this.plan();
    window.addEventListener("scroll", plan, { passive: true });
    window.addEventListener("resize", () => this._resize());
  }

  get newest() {
    return this._chunks.length ? this._chunks[0].visits[0] : null;
  }

  get oldest() {
    if (!this._chunks.length) return null;
    const { visits } = this._chunks[this._chunks.length - 1];
    return visits[visits.length - 1];
  }

  find(id) {
    const chunk = this._chunkOf(id);
    return chunk ? chunk.visits.find((each) => each.id === id) : null;
  }

  clear() {
    this._place.textContent = "";
    this._chunks = [];
  }

  // Add visits that are older than all.
  append(visits) {
    this._add(visits, this._chunks.length);
  }

  // Take over the newest visits, as the doorbell has them now: those that are not among them, though
  // not older than the last of them, are gone. With `isAll` there are no older ones.
  merge(visits, isAll) {
    const last = visits.length && !isAll ? visits[visits.length - 1].id : 0;
    const newest = this.newest ? this.newest.id : 0;
    const ids = new Set(visits.map(({ id }) => id));
    const known = new Set();
    for (const chunk of this._chunks.slice()) {
      for (const { id } of chunk.visits.slice()) {
        known.add(id);
        if (id >= last && !ids.has(id)) this.remove(id);
      }
    }
    visits.filter(({ id }) => known.has(id)).forEach((each) => this.update(each));
    const fresh = visits.filter(({ id }) => id > newest);
    if (fresh.length) this._prepend(fresh);
    return fresh;
  }

  update(visit) {
    const chunk = this._chunkOf(visit.id);
    if (!chunk) return;
    const at = chunk.visits.findIndex(({ id }) => id === visit.id);
    const isSame = JSON.stringify(chunk.visits[at]) === JSON.stringify(visit);
    chunk.visits[at] = visit;
    const row = this._row(visit.id);
    if (isSame || !row) return;
    const hasFocus = row.contains(document.activeElement);
    row.parentNode.replaceChild(rowOf(visit), row);
    if (hasFocus) this.focus(visit.id);
  }

  remove(id) {
    const chunk = this._chunkOf(id);
    if (!chunk) return;
    const at = this._chunks.indexOf(chunk);
    chunk.visits = chunk.visits.filter((each) => each.id !== id);
    if (!chunk.visits.length) {
      chunk.element.remove();
      this._chunks.splice(at, 1);
      this._renew(this._chunks[at]);
    } else {
      this._renew(chunk);
      this._renew(this._chunks[at + 1]); // It may be the first of its day now.
    }
    this.plan();
  }

  // Put the focus on a row, or on the one that has its place.
  focus(id) {
    const row = this._row(id) || this._place.querySelector(".visit");
    if (row) row.querySelector("a").focus({ preventScroll: true });
  }

  // Call this from time to time: what was today is yesterday after midnight.
  look() {
    const today = new Date().toDateString();
    if (this._today === today) return false;
    this._today = today;
    this._chunks.forEach((chunk) => this._renew(chunk, true));
    return true;
  }

  // Look soon which rows have to be there.
  plan() {
    if (this._isPlanned) return;
    this._isPlanned = true;
    requestAnimationFrame(() => {
      this._isPlanned = false;
      this._arrange();
    });
  }

  _row(id) {
    return this._place.querySelector(`[data-id="${id}"]`);
  }

  _chunkOf(id) {
    return this._chunks.find(({ visits }) => visits.some((each) => each.id === id));
  }

  _prepend(visits) {
    const [first] = this._chunks;
    if (!first || first.visits.length + visits.length > LARGE) {
      this._add(visits, 0);
      this._renew(this._chunks[1]);
    } else {
      first.visits = visits.concat(first.visits);
      this._renew(first);
    }
  }

  _add(visits, at) {
    if (!visits.length) return;
    const chunk = { element: element("div", "chunk"), visits, isMade: false };
    const next = this._chunks[at];
    this._place.insertBefore(chunk.element, next ? next.element : null);
    this._chunks.splice(at, 0, chunk);
    this._make(chunk);
    this.plan();
  }

  // Make the rows of a chunk again, if it has any now; with `isAll`, also those that can stay.
  _renew(chunk, isAll = false) {
    if (!chunk || !chunk.isMade) return;
    const { activeElement } = document;
    const row = chunk.element.contains(activeElement) ? activeElement.closest(".visit") : null;
    if (isAll) chunk.element.textContent = "";
    this._make(chunk);
    if (row) this.focus(Number(row.dataset.id));
  }

  _make(chunk) {
    const before = this._chunks[this._chunks.indexOf(chunk) - 1];
    let last = before ? day(before.visits[before.visits.length - 1]) : "";
    const made = document.createDocumentFragment();
    let rows = null;
    for (const visit of chunk.visits) {
      const today = day(visit);
      if (today !== last) made.append(element("h2", "day", today));
      if (today !== last || !rows) {
        rows = element("ol", "rows");
        made.append(rows);
      }
      rows.append(this._row(visit.id) || rowOf(visit));
      last = today;
    }
    chunk.element.textContent = "";
    chunk.element.append(made);
    chunk.element.style.height = "";
    chunk.isMade = true;
  }

  _arrange() {
    const screen = window.innerHeight;
    // Measure all, then change: the browser lays out the page once.
    const boxes = this._chunks.map(({ element: place }) => place.getBoundingClientRect());
    this._chunks.slice().forEach((chunk, at) => {
      const { top, bottom, height } = boxes[at];
      const isNear = bottom > -NEAR * screen && top < (1 + NEAR) * screen;
      if (isNear && !chunk.isMade) {
        this._make(chunk);
      } else if (!isNear && chunk.isMade) {
        chunk.element.textContent = "";
        chunk.element.style.height = `${height}px`;
        chunk.isMade = false;
      }
    });
    const end = boxes.length ? boxes[boxes.length - 1].bottom : 0;
    if (end < (1 + NEAR) * screen) this._wanted();
  }

  // The row at the top stays there, though those above it have another height.
  _resize() {
    const rows = Array.from(this._place.querySelectorAll(".visit"));
    const top = window.scrollY > 0 && rows.find((each) => each.getBoundingClientRect().bottom > 0);
    if (top) requestAnimationFrame(() => top.scrollIntoView());
    this.plan();
  }
}
