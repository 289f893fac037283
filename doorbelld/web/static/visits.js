// The page of visits: who was there, by day. Without this script the daemon's own rows stay.

import { ask, json, nothing } from "./answers.js";
import { DaemonClock } from "./clock.js";
import { VisitList } from "./list.js";
import { News } from "./news.js";
import { kindOf } from "./row.js";
import { Viewer } from "./viewer.js";
import { clock, decimal, say, translate } from "./words.js";
import { Zones } from "./zones.js";

const PAGE = 50; // visits in an answer
const NOTICE_MS = 5000;
const RETRY = [0.5, 1, 2, 5]; // seconds

const place = (id) => document.getElementById(id);

function size(bytes) {
  const isLarge = bytes >= 1e9;
  return `${decimal(bytes / (isLarge ? 1e9 : 1e6), isLarge ? 1 : 0)} ${isLarge ? "GB" : "MB"}`;
}

class Page {
  constructor() {
    translate();
    document.title = `${say("visits.title")} – ${place("name").textContent}`;
    this._kind = "";
    this._next = null; // where the older ones begin; null if there are none
    this._count = 0;
    this._asking = null;
    this._newest = ""; // what the news last said of a ring
    this._isFirst = true;
    this._cameFrom = null; // the row whose visit is open
    this._isOurs = false; // "Back" leads to our list
    this._noticeTimer = 0;
    this._list = new VisitList(place("days"), () => this._more());
    const handlers = {
      close: () => this._back(),
      notice: (text) => this._notice(text),
    };
    this._clock = new DaemonClock();
    this._viewer = new Viewer(this._clock, Object.assign({
      answered: () => this._refresh(),
      gone: (id) => this._gone(id),
    }, handlers));
    this._zones = new Zones(handlers);
    this._news = new News({
      opened: ({ serverNow, sentAt, receivedAt }) => {
        this._clock.learn(serverNow, sentAt, receivedAt);
        if (!this._isFirst) this._refresh();
      },
      state: (state, receivedAt) => {
        this._clock.hear(state.now, receivedAt);
        this._learn(state);
      },
      login: () => location.replace("login"),
      look: () => this._viewer.look(this._list.look()),
    }, { retry: RETRY });
  }

  listen() {
    place("choices").hidden = false;
    place("filter").addEventListener("click", ({ target }) => this._choose(target));
    place("again").addEventListener("click", () => (this._isFirst ? this._refresh() : this._more()));
    place("empty").addEventListener("click", () => this._askToEmpty(true));
    place("empty-no").addEventListener("click", () => this._askToEmpty(false));
    place("empty-yes").addEventListener("click", () => this._empty());
    window.addEventListener("hashchange", ({ oldURL }) => {
      this._isOurs = !new URL(oldURL).hash;
      this._route();
    });
    const follow = () => (document.hidden ? this._news.stop() : this._news.start());
    document.addEventListener("visibilitychange", follow);
    window.addEventListener("pageshow", follow); // from the back/forward cache
    window.addEventListener("pagehide", () => this._news.stop());
    follow();
    this._refresh();
    this._route();
  }

  // What is shown: the list, or what the hash names

  _route() {
    const name = location.hash.slice(1);
    const id = /^\d{1,15}$/.test(name) ? Number(name) : 0;
    const isCovered = id > 0 || name === "zones";
    document.documentElement.classList.toggle("covered", isCovered);
    if (this._viewer.isOpen) this._viewer.close();
    this._zones.close();
    if (id) this._open(id);
    else if (name === "zones") this._zones.open(this._list.newest);
    else if (this._cameFrom !== null) this._list.focus(this._cameFrom);
    this._cameFrom = id || null;
  }

  async _open(id) {
    const known = this._list.find(id);
    if (known) {
      this._viewer.open(known);
      return;
    }
    try {
      const visit = await ask(`visits/${id}.json`, json);
      if (location.hash === `#${id}`) this._viewer.open(visit);
    } catch (error) {
      this._notice(error.message);
      this._back();
    }
  }

  _back() {
    if (this._isOurs) {
      history.back();
    } else {
      history.replaceState(null, "", location.pathname + location.search);
      this._route();
    }
  }

  // The list

  _query(before) {
    const query = new URLSearchParams({ limit: PAGE });
    if (this._kind) query.set("kind", this._kind);
    if (before) query.set("before", before);
    return `visits.json?${query}`;
  }

  // Take over what is new at the top.
  async _refresh() {
    const found = await this._ask(this._query());
    if (!found) return;
    const { visits, next } = found;
    const newest = this._list.newest;
    const isGap = newest && next !== null && !visits.some(({ id }) => id <= newest.id);
    if (this._isFirst || !newest || isGap) {
      this._list.clear();
      this._list.append(visits);
      this._next = next;
      if (!this._isFirst && visits.length && !newest) this._speak(visits[0]);
    } else {
      const fresh = this._list.merge(visits, next === null);
      if (fresh.length) this._speak(fresh[0]);
    }
    this._isFirst = false;
    this._total(found);
    this._freshen();
    this._list.plan();
  }

  async _more() {
    if (this._next === null || this._asking) return;
    place("days").setAttribute("aria-busy", "true");
    const found = await this._ask(this._query(this._next));
    place("days").setAttribute("aria-busy", "false");
    if (!found) return;
    this._next = found.next;
    this._list.append(found.visits);
    this._total(found);
  }

  // Returns null if there is no answer, or one to a question that is not of interest any more.
  async _ask(url) {
    if (this._asking) this._asking.abort();
    const abort = new AbortController();
    this._asking = abort;
    place("trouble").hidden = true;
    try {
      const found = await ask(url, json, { abort });
      return this._asking === abort ? found : null;
    } catch (error) {
      if (this._asking !== abort) return null;
      place("trouble-text").textContent = error.message;
      place("trouble").hidden = false;
      return null;
    } finally {
      if (this._asking === abort) this._asking = null;
    }
  }

  _choose(button) {
    if (!("kind" in button.dataset) || button.dataset.kind === this._kind) return;
    this._kind = button.dataset.kind;
    for (const each of place("filter").children) {
      each.setAttribute("aria-pressed", String(each === button));
    }
    this._list.clear();
    this._next = null;
    this._isFirst = true;
    window.scrollTo(0, 0);
    this._refresh();
  }

  _total({ count, bytes, space, days, motion = true }) {
    this._count = count;
    if (motion) for (const id of ["filter", "ignore"]) place(id).hidden = false;
    place("kept").textContent = say("visits.kept", {
      used: size(bytes), space: size(space), count: days,
    });
    place("empty").hidden = !count;
    if (!count) this._askToEmpty(false);
    this._showNone();
  }

  _showNone() {
    place("none").hidden = Boolean(this._list.newest);
    place("none").textContent = say(this._kind ? `visits.none.${this._kind}` : "visits.none");
  }

  // News

  _learn({ camera, visit = null }) {
    if (camera.name) place("name").textContent = camera.name;
    const newest = JSON.stringify(visit);
    const isFirst = !this._newest;
    const isNew = newest !== this._newest;
    this._newest = newest;
    const shown = this._list.newest;
    const isUnknown = visit && shown && visit.id > shown.id; // since the list was asked for
    if (isNew && (isUnknown || !isFirst)) this._refresh();
  }

  // What is on the screen of a visit that is open.
  _freshen() {
    const { visit } = this._viewer;
    const known = visit && this._list.find(visit.id);
    if (!known) return;
    const { frames } = visit;
    this._viewer.learn(Object.assign({}, known, { frames }));
  }

  _speak(visit) {
    place("spoken").textContent = say("visits.new", {
      kind: kindOf(visit), time: clock(visit.at),
    });
  }

  // Deleting

  _gone(id) {
    if (location.hash === `#${id}`) this._back();
    this._list.remove(id);
    this._refresh();
  }

  _askToEmpty(isAsking) {
    const values = { count: this._count };
    place("empty-question").textContent = say("visits.empty.ask", values);
    place("empty-yes").textContent = say("visits.empty.yes", values);
    const wasAsking = !place("empty-ask").hidden;
    place("empty-ask").hidden = !isAsking;
    place("choices").hidden = isAsking;
    if (isAsking) place("empty-no").focus();
    else if (wasAsking) place("empty").focus();
  }

  async _empty() {
    const button = place("empty-yes");
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      await ask("visits/delete", nothing, { method: "POST" });
      this._isFirst = true;
      this._notice(say("visits.empty.done"));
      await this._refresh();
    } catch (error) {
      this._notice(error.message);
    } finally {
      button.setAttribute("aria-busy", "false");
      this._askToEmpty(false);
    }
  }

  _notice(text) {
    place("notice").textContent = text;
    place("notice").hidden = false;
    clearTimeout(this._noticeTimer);
    this._noticeTimer = setTimeout(() => { place("notice").hidden = true; }, NOTICE_MS);
  }
}

new Page().listen();
