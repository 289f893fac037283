// The banner for a ring, with the picture of the press, beside the live picture and never over the
// middle of it.

import { showCard } from "./cards.js";
import { failure, post } from "./post.js";
import { clock, knows, say } from "./words.js";

const GONE = 404;

const element = (id) => document.getElementById(id);

function write(id, text) {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
}

// Why a visit has no picture.
function whyNot(reason) {
  if (!reason) return "";
  const key = reason === "space" ? "ring.space" : `reason.${reason}`;
  return say(knows(key) ? key : "reason.other");
}

export class Banner {
  // `close` is called when the user has seen enough of the ring; `notice` says what went wrong.
  constructor(stage, { close, notice }) {
    this._stage = stage;
    this._close = close;
    this._notice = notice;
    this._id = 0;
    this._source = null; // what its picture is fetched from, or why there is none
    this._still = element("ring-still");
    this._still.addEventListener("load", () => { this._still.hidden = false; });
    this._still.addEventListener("error", () => this._lack(say("ring.none")));
    element("answered").addEventListener("click", ({ currentTarget }) => this._answer(currentTarget));
    element("ring-close").addEventListener("click", () => close());
  }

  // Show the ring of a visit, or none.
  show(visit) {
    if (visit) {
      this._id = visit.id;
      this._fetch(visit);
    }
    showCard(this._stage, element("ring"), Boolean(visit));
    // A screen reader only hears what changes while it is shown.
    write("ring-headline", visit ? say("ring.headline") : "");
    write("ring-detail", visit ? detail(visit) : "");
  }

  // The picture before stays until the next one has come.
  _fetch({ still, reason }) {
    const source = still || reason;
    if (this._source === source) return;
    this._source = source;
    write("ring-none", "");
    if (still) {
      this._still.src = still;
    } else {
      this._still.removeAttribute("src");
      this._lack([say("ring.none"), whyNot(reason)].filter(Boolean).join(". "));
    }
  }

  _lack(words) {
    this._still.hidden = true;
    write("ring-none", words);
  }

  async _answer(button) {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    const status = await post(`visits/${this._id}/answered`);
    button.setAttribute("aria-busy", "false");
    if (status === 200 || status === GONE) this._close();
    else this._notice(failure(status));
  }
}

function detail({ presses, pressed_at: pressedAt }) {
  const time = clock(pressedAt);
  if (presses < 2) return time;
  return presses > 2 ? say("ring.presses", { count: presses, time }) : say("ring.twice", { time });
}
