// What the page says about its picture. Pure: no time is read and no text is made in this file;
// sentences are named by their keys in words.js, as [key, values].
//
// A verdict is {state, headline, detail, help, technical, note}: the state is the badge's; headline,
// detail and help are sentences over the picture, `technical` is for experts, and the note is a
// remark, mostly to a picture that is live. All but the state may be null.

const FRESH = 1.2; // seconds that a picture may be old and still be live
const MOST_PAUSE = 2; // and that a slow camera or a slow link may add to this
const RARE = 0.5; // seconds between two pictures that are many, if the camera sends more
const LATE = 1; // seconds between the capture and the screen, from which the link is slow
const MOST_MISSED = 4; // pictures of the camera in that time
const MOST_SILENCE = 1.1; // seconds without a byte; the daemon sends some each second
const QUIET = 1.5; // seconds without a byte that are a fault even if the picture may be that old
const LOST = 3.5; // seconds without a byte, after which there is no connection
const RESTART = 6; // seconds that a restart may take
const TRYING = ["trying"];
const HELPED = [401, 403, 404, 421, 500, 502];

function verdict(state, rest) {
  return Object.assign(
    { state, headline: null, detail: null, help: null, technical: null, note: null },
    rest,
  );
}

// The facts:
//   hidden      the page is
//   status      of the daemon's last answer if it was no stream, otherwise 0; `text` is its reason
//   isOpen      the stream is
//   failures    how many attempts to open it have failed since it was open last
//   silence     seconds since the last byte came, or since the page was shown
//   heardAt     when that was, in Unix seconds by the clock of this device; 0: never
//   hasEnded    the daemon has said that it stops
//   online      what the browser believes
//   camera      the daemon's last word on the camera, or null
//   cameraAge   seconds, of the camera's newest picture according to that; 0 if one came after it
//   age         seconds, of the picture on the screen; null without one
//   lag         seconds that the newest part was under way
//   pause       seconds between two pictures, as they come
//   smaller     the pictures are smaller than this screen can show, because the link is slow
//   canShrink   the daemon can make smaller pictures
//   isLimited   fewer pictures come, because the link is slow and the daemon cannot
//   limit       how many may watch, if no more may; 0: not known
//   shutter     the daemon's last word on the shutter, or null
export function judge(facts) {
  if (facts.hidden) return verdict("paused");
  if (facts.status === 503) return judgeShutter(facts) || judgeFull(facts);
  if (facts.status) return judgeAnswer(facts);
  return judgeSilence(facts) || judgeShutter(facts) || judgeCamera(facts);
}

// Returns null if the camera was not closed on purpose. Its state is "shut": "paused" is a page that
// is hidden.
function judgeShutter({ shutter }) {
  if (!shutter || !shutter.closed) return null;
  return verdict("shut", {
    headline: ["shutter.since", { time: shutter.since }], detail: ["shutter.bell"],
  });
}

function judgeFull({ limit }) {
  const detail = limit ? ["full.limit", { count: limit }] : TRYING;
  return verdict("full", { headline: ["full"], detail, note: ["full.second"] });
}

function judgeAnswer({ status, text }) {
  const known = status === 504 ? 502 : status;
  const key = HELPED.includes(known) ? `answer.${known}` : "answer.other";
  const technical = text ? `${status}: ${text}` : null;
  return verdict("offline", {
    headline: [key], detail: [`${key}.help`, { status }], help: TRYING, technical,
  });
}

// Returns null if there is a connection, or a break too short to mention.
function judgeSilence(facts) {
  const { silence, hasEnded, camera } = facts;
  const hasFailed = facts.failures > 1 && !hasEnded;
  if (silence < QUIET || (!camera && silence < LOST && !hasFailed)) return null;
  if (hasEnded && silence < RESTART) {
    return verdict("stale", {
      headline: ["connection.restart"], detail: ["connection.restart.help"],
    });
  }
  if (silence < LOST && !hasFailed) return weak();
  return verdict("offline", {
    headline: ["connection.none"], detail: noConnection(facts), help: TRYING,
  });
}

function weak() {
  return verdict("stale", { headline: ["connection.weak"], detail: ["connection.waiting"] });
}

// When the browser says offline, it is right; when it says online, it may be wrong.
function noConnection({ online, heardAt }) {
  if (!online) return ["connection.network"];
  return heardAt ? ["connection.silent", { time: heardAt }] : ["connection.waiting"];
}

function judgeCamera(facts) {
  const { camera, age } = facts;
  if (!camera) return verdict("connecting");
  // A camera that was just resumed is still paused for a moment.
  if (camera.state === "starting" || (facts.shutter && camera.reason === "paused")) {
    return verdict("connecting", { headline: ["camera.starting"] });
  }
  if (camera.state !== "streaming") return judgeLost(camera);
  if (age === null) return verdict("connecting");
  if (age > longest(facts)) return judgeOld(facts);
  const note = slowNote(facts);
  return note ? verdict("slow", { note }) : verdict("live");
}

function judgeLost({ since, reason, detail }) {
  const key = `reason.${reason || "other"}`;
  return verdict("offline", {
    headline: ["offline.since", { time: since }],
    detail: [key],
    help: [`${key}.help`],
    technical: detail || null,
    note: TRYING,
  });
}

function longest({ camera, pause }) {
  const rare = camera.fps ? 2 / camera.fps : 0;
  return FRESH + Math.min(MOST_PAUSE, Math.max(rare, 1.5 * pause));
}

function judgeOld({ age, silence, cameraAge, lag }) {
  if (silence > MOST_SILENCE) return weak();
  const isCamera = cameraAge > FRESH / 2 && lag < LATE;
  return verdict("stale", {
    headline: ["stale.age", { seconds: Math.round(age) }],
    detail: [isCamera ? "stale.camera" : "stale.connection"],
  });
}

function slowNote({ lag, pause, camera, smaller, canShrink, isLimited }) {
  const isRare = pause > RARE && pause * camera.fps > MOST_MISSED;
  if (isLimited || (!canShrink && (lag > LATE || isRare))) return ["slow.full"];
  if (lag > LATE) return ["slow.late", { seconds: Math.round(lag) }];
  return smaller ? ["slow.smaller"] : null;
}

// Holds each state for a moment, so that the badge does not flicker: what becomes worse is shown
// soon, what becomes better once it has lasted, and the longer the more often it has changed.
const RANK = ["live", "slow", "stale", "offline"]; // from good to bad; others change at once
const WORSE = 0.3; // seconds that a worse verdict has to last
const SLOWER = 1; // and "slow", which is no fault of the picture
const BETTER = 0.7;
const CALM = 2.5; // seconds that a better one has to last after some that did not
const RECENT = 30; // seconds in which changes for the worse are counted
const MANY = 2;

export class Calm {
  constructor() {
    this.shown = verdict("connecting");
    this._direction = 0; // what is wanted is worse (1) or better (-1) than what is shown
    this._since = 0;
    this._falls = [];
  }

  // Returns the verdict to show, given what is so at this moment, in seconds.
  settle(next, at) {
    const from = RANK.indexOf(this.shown.state);
    const to = RANK.indexOf(next.state);
    const direction = Math.sign(to - from);
    if (direction !== this._direction) {
      this._direction = direction;
      this._since = at;
    }
    if (next.state === this.shown.state) {
      this.shown = next; // the same state in newer words
    } else if (from < 0 || to < 0 || at - this._since >= this._wait(next.state, at)) {
      if (from >= 0 && direction > 0) this._falls.push(at);
      this._direction = 0;
      this.shown = next;
    }
    return this.shown;
  }

  _wait(state, at) {
    if (this._direction > 0) return state === "slow" ? SLOWER : WORSE;
    this._falls = this._falls.filter((fall) => at - fall < RECENT);
    if (this.shown.state === "slow" || this._falls.length >= MANY) return CALM;
    return BETTER;
  }
}
