// Who is watching: a list that opens and closes with a tap on their number.

import { failure } from "./post.js";
import { clock, say } from "./words.js";

const MOST = 8; // rows; the daemon's own list has all
const LIMIT_MS = 6000;

export class Watchers {
  // `key` returns the name of this page's own stream.
  constructor(key) {
    this._key = key;
    this._button = document.getElementById("watching");
    this._list = document.getElementById("watchers");
    this._count = 0;
    this._button.setAttribute("aria-controls", "watchers");
    this._open(false);
    this._button.addEventListener("click", () => this._open(this._list.hidden));
    document.addEventListener("keydown", ({ key: pressed }) => {
      if (pressed === "Escape") this._open(false);
    });
  }

  // So many are watching.
  learn({ watching }) {
    const isOther = watching !== this._count;
    this._count = watching;
    if (watching < 2) this._open(false);
    else if (isOther && !this._list.hidden) this._ask();
  }

  _open(isOpen) {
    this._button.setAttribute("aria-expanded", String(isOpen));
    this._list.hidden = !isOpen;
    if (isOpen) this._ask();
    else this._list.textContent = "";
  }

  async _ask() {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), LIMIT_MS);
    try {
      const headers = { Accept: "application/json" };
      const answer = await fetch("status", { cache: "no-store", headers, signal: stop.signal });
      this._show(answer.ok ? this._rows(await answer.json()) : [failure(answer.status)]);
    } catch (error) {
      this._show([failure(0)]);
    } finally {
      clearTimeout(timer);
    }
  }

  _rows({ viewers }) {
    const rows = viewers.slice(0, MOST).map(({ address, since, key }) => {
      const one = key === this._key() ? "watching.self" : "watching.since";
      return say(one, { address, time: clock(since) });
    });
    const count = viewers.length - rows.length;
    return count ? rows.concat(say("watching.more", { count })) : rows;
  }

  _show(rows) {
    if (this._list.hidden) return;
    this._list.textContent = "";
    for (const row of rows) {
      this._list.appendChild(document.createElement("li")).textContent = row;
    }
  }
}
