// Which ring is news, and which is still to be shown. Pure but for what it keeps in `storage`, so
// that nothing rings a second time when the page is loaded again. The rule is that of docs/live.md.

const FRESH = 60; // seconds after a press in which it is shown
const LATER = 60; // seconds by which the same press can never be later than it was
const KEY = "ring";

const isOpen = (visit, age) => age < FRESH && visit.answered === null;

export class Rings {
  // `storage` is as sessionStorage; null if this browser keeps nothing.
  constructor(storage) {
    this._storage = storage;
    this._seen = this._remembered();
  }

  // Take what the daemon says of the newest visit: `age` is how many seconds ago its bell was
  // pressed last, `at` the time of this device in Unix seconds. Returns whether the ring is news.
  hear(visit, age, at) {
    const { id, presses } = visit;
    const rangAt = at - age;
    if (!this._isNewer(visit, rangAt)) return false;
    this._keep({ id, presses, rangAt, isClosed: false });
    return isOpen(visit, age);
  }

  // Whether the ring of a visit that was heard is to be shown.
  shows(visit, age) {
    return isOpen(visit, age) && visit.id === this._seen.id && !this._seen.isClosed;
  }

  // The user has seen enough of the ring, on this page.
  close() {
    this._keep(Object.assign({}, this._seen, { isClosed: true }));
  }

  // A doorbell that was set up again counts from 1 again: then a press is newer by its time. That is
  // seen by this device's clock, because the daemon may still have to set its own; and not to the
  // second, because after a restart the daemon may know of a later press of the same visitor.
  _isNewer({ id, presses }, rangAt) {
    const seen = this._seen;
    if (!seen || id > seen.id || rangAt > seen.rangAt + LATER) return true;
    return id === seen.id && presses > seen.presses;
  }

  _keep(seen) {
    this._seen = seen;
    try {
      this._storage.setItem(KEY, JSON.stringify(this._seen));
    } catch (error) {
      // Then it is only known until the page is loaded again.
    }
  }

  _remembered() {
    try {
      const seen = JSON.parse(this._storage.getItem(KEY));
      return seen && Number.isFinite(seen.rangAt) ? seen : null;
    } catch (error) {
      return null;
    }
  }
}
