"use strict";

// The page's one job is the truth: what is on this screen is live, or it says why not.
// Twice a second or so it asks /status how old the newest frame is and how far this
// viewer's own stream has come, and sets the stream up anew whenever it has died.

(() => {
  const POLL_MS = 700; // between two looks; with ANSWER_MS under 2 s from fault to badge
  const IMPATIENT_MS = 150; // between two looks while the first frame is awaited
  const ANSWER_MS = 1200; // a slower answer is none
  const FRESH_MS = 1500; // an older picture is not live, whatever the frame rate
  const DEAD_MS = 5000; // a stream that lags this far behind the camera is set up anew
  const JOIN_MS = 2500; // within which a new stream shows up in /status
  const RETRY_MS = [500, 1000, 2000, 3000];

  const element = (id) => document.getElementById(id);
  const stage = element("stage");
  const picture = element("picture");
  const still = element("still");
  const glow = element("glow");

  let name = element("name").textContent;
  let key = null; // what this viewer's stream is called in /status; null without a stream
  let openedAt = 0;
  let retries = 0;
  let retryTimer = 0;
  let pollTimer = 0;
  let failures = 0;
  let heardAt = Date.now();
  let round = 0; // grows when the page is hidden or shown: late answers are not for us

  // The stream

  function openStream() {
    clearTimeout(retryTimer);
    retryTimer = 0;
    key = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
    openedAt = performance.now();
    picture.src = `/video_feed?key=${key}`;
    picture.hidden = false;
  }

  function closeStream() {
    key = null;
    clearTimeout(retryTimer);
    retryTimer = 0;
    // Without its src an image lets go of its connection at once; hidden, for some browsers
    // then draw the outline of a broken image.
    picture.removeAttribute("src");
    picture.hidden = true;
  }

  function reopenStream() {
    if (retryTimer) return;
    closeStream();
    retryTimer = setTimeout(openStream, RETRY_MS[Math.min(retries, RETRY_MS.length - 1)]);
    retries += 1;
  }

  function keepStill() {
    try {
      still.width = picture.naturalWidth;
      still.height = picture.naturalHeight;
      still.getContext("2d").drawImage(picture, 0, 0);
      glow.getContext("2d").drawImage(picture, 0, 0, glow.width, glow.height);
    } catch {
      // Nothing has been drawn yet: there is nothing to keep.
    }
  }

  // What the screen says

  function show(state, headline = "", detail = "") {
    const badges = {
      connecting: "Connecting",
      live: "Live",
      stale: "Stale",
      offline: "Offline",
      full: "Busy",
      paused: "Paused",
    };
    const changed = stage.dataset.state !== state;
    stage.dataset.state = state;
    // Set only when it changes, so that a screen reader speaks only then.
    if (changed) element("badge").textContent = badges[state];
    element("headline").textContent = headline;
    element("detail").textContent = detail;
    element("message").hidden = !headline;
    document.title = state === "live" ? `● ${name}` : `${name} – ${badges[state].toLowerCase()}`;
  }

  function clock(unixSeconds) {
    const options = { hour: "2-digit", minute: "2-digit" };
    return new Date(unixSeconds * 1000).toLocaleTimeString([], options);
  }

  function showCamera(status) {
    if (status.camera.name !== name) {
      name = status.camera.name;
      element("name").textContent = name;
    }
    element("watching").textContent = `${status.watching} watching`;
  }

  function judge(status) {
    const { camera } = status;
    const mine = status.viewers.find((viewer) => viewer.key === key);
    if (!mine && performance.now() - openedAt > JOIN_MS) reopenStream();
    if (camera.state === "starting") return show("connecting", "Starting the camera");
    if (camera.state !== "streaming") {
      return show("offline", `Offline since ${clock(camera.since)}`, camera.detail);
    }
    return mine ? judgeAge(camera, mine) : showMissing(status);
  }

  function showMissing({ watching, limits }) {
    if (watching < limits.max_viewers) return show("connecting");
    const reason = `${limits.max_viewers} are watching, and more may not.`;
    return show("full", "No room right now", `${reason} This page keeps trying.`);
  }

  function judgeAge(camera, mine) {
    if (mine.age_ms === null) return show("connecting");
    const age = Math.max(camera.age_ms, mine.age_ms);
    const interval = camera.fps ? 1000 / camera.fps : 0;
    if (mine.age_ms - camera.age_ms > DEAD_MS) reopenStream();
    if (age > FRESH_MS + 2 * interval) {
      return show("stale", `${Math.round(age / 1000)} s old`, "The picture does not keep up.");
    }
    retries = 0;
    show("live");
    keepStill();
  }

  // Asking

  async function ask() {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), ANSWER_MS);
    try {
      const options = { cache: "no-store", signal: stop.signal };
      const answer = await fetch(`/status?key=${key || ""}`, options);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      return await answer.json();
    } finally {
      clearTimeout(timer);
    }
  }

  function unheard(error) {
    failures += 1;
    element("watching").textContent = "";
    if (error.name === "AbortError" && failures === 1) {
      return show("stale", "Weak connection", "The doorbell has not answered for a moment.");
    }
    const since = clock(heardAt / 1000);
    return show("offline", "No connection", `The doorbell has not answered since ${since}.`);
  }

  async function poll() {
    const mine = round;
    try {
      const status = await ask();
      if (mine !== round) return;
      if (failures && retryTimer) openStream(); // It is back: no reason to wait any longer.
      failures = 0;
      heardAt = Date.now();
      showCamera(status);
      judge(status);
    } catch (error) {
      if (mine !== round) return;
      unheard(error);
    }
    const soon = stage.dataset.state === "connecting";
    pollTimer = setTimeout(poll, soon ? IMPATIENT_MS : POLL_MS);
  }

  // Shown and hidden

  function start() {
    if (key || retryTimer) return;
    round += 1;
    retries = 0;
    show("connecting");
    openStream();
    poll();
  }

  function pause() {
    round += 1;
    clearTimeout(pollTimer);
    closeStream();
    show("paused");
  }

  function follow() {
    if (document.hidden) pause();
    else start();
  }

  // The buttons

  function notice(text) {
    const place = element("notice");
    place.textContent = text;
    place.hidden = false;
    setTimeout(() => { place.hidden = true; }, 4000);
  }

  async function takeSnapshot() {
    const answer = await fetch("/snapshot.jpg", { cache: "no-store" });
    if (!answer.ok) throw new Error("There is no live picture to keep.");
    const stamp = new Date().toLocaleString("sv").replaceAll(":", ".");
    const fileName = `${name.replace(/[\\/:*?"<>|]/g, "_")} ${stamp}.jpg`;
    const file = new File([await answer.blob()], fileName, { type: "image/jpeg" });
    // Sharing exists only where the page came over HTTPS, or from this very machine.
    if (navigator.canShare?.({ files: [file] })) return navigator.share({ files: [file] });
    return download(file);
  }

  function download(file) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  async function snapshot() {
    element("snapshot").disabled = true;
    try {
      await takeSnapshot();
    } catch (error) {
      // AbortError: somebody thought better of sharing it.
      if (error.name !== "AbortError") notice(error.message);
    } finally {
      element("snapshot").disabled = false;
    }
  }

  // Safari knows full screen only under its own name, and on iPhones not at all.
  const root = document.documentElement;
  const enter = root.requestFullscreen || root.webkitRequestFullscreen;
  const leave = document.exitFullscreen || document.webkitExitFullscreen;
  const isFull = () => document.fullscreenElement || document.webkitFullscreenElement;

  function toggleFullscreen() {
    if (isFull()) leave.call(document);
    else enter.call(root);
  }

  function labelFullscreen() {
    element("fullscreen-label").textContent = isFull() ? "Leave full screen" : "Full screen";
  }

  picture.addEventListener("error", () => { if (key) reopenStream(); });
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pageshow", follow); // out of the back/forward cache
  window.addEventListener("pagehide", pause);
  element("snapshot").addEventListener("click", snapshot);
  element("fullscreen").addEventListener("click", toggleFullscreen);
  for (const event of ["fullscreenchange", "webkitfullscreenchange"]) {
    document.addEventListener(event, labelFullscreen);
  }
  element("badge").hidden = false;
  element("controls").hidden = false;
  element("fullscreen").hidden = !enter;
  follow();
})();
