// What the page says in words: the badge, the sentences over the picture, the title, the voice.

import { clock, knows, say } from "./words.js";

const SPOKEN = 3; // seconds that a state has to last before a screen reader hears of it

const SENTENCES = ["headline", "detail", "help", "note"];

const element = (id) => document.getElementById(id);

// Only writes what has changed, so that the browser has nothing to do otherwise.
function write(id, text) {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
}

function hide(id, isHidden) {
  const place = element(id);
  if (place.hidden !== isHidden) place.hidden = isHidden;
}

// The sentence of [key, values], "" for null. Times in it are Unix seconds.
function sentence(spec) {
  if (!spec) return "";
  const [key, values = {}] = spec;
  const filled = "time" in values
    ? Object.assign({}, values, { time: clock(values.time) })
    : values;
  return say(known(key), filled);
}

// A newer daemon may have reasons, and a proxy answers, that this page does not know.
function known(key) {
  if (knows(key) || knows(`${key}.other`)) return key;
  return key.replace(/^(\w+)\..*?(\.help)?$/, "$1.other$2");
}

export class Panel {
  constructor(stage) {
    this.name = element("name").textContent;
    this._stage = stage;
    this._since = 0;
    this._isSpoken = true;
    this._isRinging = false;
    this._picture = element("picture");
    this._picture.setAttribute("role", "img");
    this._picture.removeAttribute("aria-hidden"); // Without scripts there is another picture.
    hide("badge", false);
    hide("controls", false);
    hide("bell", false);
  }

  // Show a verdict of states.js.
  show(verdict, at) {
    const { state } = verdict;
    const says = SENTENCES.map((id) => sentence(verdict[id]));
    SENTENCES.forEach((id, index) => write(id, says[index]));
    write("badge", say(`badge.${state}`));
    write("technical", verdict.technical || "");
    hide("more", !verdict.technical);
    hide("message", !says.some(Boolean));
    hide("resume", state !== "shut");
    this._entitle(state);
    if (this._stage.dataset.state !== state) {
      this._stage.dataset.state = state;
      this._since = at;
      this._isSpoken = false;
    }
    // No time passes on a hidden page.
    const isDue = state === "paused" || at - this._since >= SPOKEN;
    if (isDue && !this._isSpoken) {
      this._isSpoken = true;
      write("spoken", [say(`badge.${state}`), ...says].filter(Boolean).join(". ").replace(/\.\. /g, ". "));
    }
  }

  // Show what is known of the doorbell besides the picture.
  learn({ camera, watching, password }) {
    if (camera.name && camera.name !== this.name) {
      this.name = camera.name;
      write("name", this.name);
    }
    this.label();
    write("watching", watching > 1 ? say("watching", { count: watching }) : "");
    hide("logout", !password);
  }

  label() {
    const label = say("picture.alt", { name: this.name });
    if (this._picture.getAttribute("aria-label") !== label) {
      this._picture.setAttribute("aria-label", label);
    }
  }

  // Show when the picture on the screen was taken, in Unix seconds; null: there is none.
  date(timestamp) {
    write("taken", timestamp === null ? "" : say("picture.time", { time: clock(timestamp) }));
  }

  // Say in the title whether someone rings.
  ring(isRinging) {
    if (this._isRinging === isRinging) return;
    this._isRinging = isRinging;
    this._entitle(this._stage.dataset.state);
  }

  // Without a connection, nothing is known of others.
  forget() {
    write("watching", "");
  }

  _entitle(state) {
    const title = say(this._isRinging ? "ring.title" : `title.${state}`, { name: this.name });
    if (document.title !== title) document.title = title;
  }
}
