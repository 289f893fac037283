"use strict";

// The page must always be right: either the picture on the screen is live, or it says why not.
// About twice a second it asks /status for the age of the newest frame and of the frame that
// this viewer has received, and it opens the stream again whenever the stream has died.

(() => {
  // The badge shows a fault in less than 2 s: after POLL_MS + ANSWER_MS at the latest if the
  // daemon does not answer, after FRESH_MS + POLL_MS if the picture does not change.
  const POLL_MS = 600; // between two requests
  const IMPATIENT_MS = 150; // between two requests while the page waits for the first frame
  const ANSWER_MS = 1200; // a slower answer counts as none
  const FRESH_MS = 1200; // an older picture is not live, except from a slow camera
  const SLOW_MS = 2000; // and this is the most that is added for a slow camera
  const DEAD_MS = 5000; // a stream that is this far behind the camera is opened again
  const JOIN_MS = 2500; // within this time a new stream appears in /status
  const RETRY_MS = [500, 1000, 2000, 3000];

  const element = (id) => document.getElementById(id);
  const stage = element("stage");
  const picture = element("picture");
  const still = element("still");
  const glow = element("glow");
  const badges = {
    connecting: "Connecting",
    live: "Live",
    stale: "Stale",
    offline: "Offline",
    full: "Busy",
    paused: "Paused",
  };

  let name = element("name").textContent;
  let key = null; // the name of this viewer's stream in /status; null without a stream
  let openedAt = 0;
  let retries = 0;
  let retryTimer = 0;
  let pollTimer = 0;
  let failures = 0;
  let heardAt = Date.now() / 1000;
  let noticeTimer = 0;
  let round = 0; // grows when the page is hidden or shown, so that late answers are ignored

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
    // Without its src, an image closes its connection at once. Some browsers then draw the
    // outline of a broken image, so hide it.
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
    if (!picture.naturalWidth) return; // It would erase the picture that we have.
    try {
      still.width = picture.naturalWidth;
      still.height = picture.naturalHeight;
      still.getContext("2d").drawImage(picture, 0, 0);
      glow.getContext("2d").drawImage(picture, 0, 0, glow.width, glow.height);
    } catch {
      // The stream broke at this moment: the picture that we have is the last one.
    }
  }

  // What the screen says

  function show(state, headline = "", detail = "") {
    element("badge").textContent = badges[state];
    element("headline").textContent = headline;
    element("detail").textContent = detail;
    element("message").hidden = !headline;
    document.title = state === "live" ? `● ${name}` : `${name} – ${badges[state].toLowerCase()}`;
    // Only written when the state changes, so that a screen reader speaks only then.
    if (stage.dataset.state === state) return;
    stage.dataset.state = state;
    element("spoken").textContent = [badges[state], headline, detail].filter(Boolean).join(". ");
  }

  // The time of day, with the date if that is not today.
  function clock(unixSeconds) {
    const then = new Date(unixSeconds * 1000);
    const time = { hour: "numeric", minute: "2-digit" };
    const today = then.toDateString() === new Date().toDateString();
    const day = today ? {} : { weekday: "short", day: "numeric", month: "short" };
    return then.toLocaleString([], { ...day, ...time });
  }

  function showCamera(status) {
    if (status.camera.name !== name) {
      name = status.camera.name;
      element("name").textContent = name;
      picture.alt = `${name} camera`;
    }
    element("watching").textContent = `${status.watching} watching`;
    element("logout").hidden = !status.password;
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
    const reason = `Only ${limits.max_viewers} can watch at the same time.`;
    return show("full", "No room right now", `${reason} This page keeps trying.`);
  }

  function judgeAge(camera, mine) {
    if (mine.age_ms - camera.age_ms > DEAD_MS) reopenStream();
    // A frame that was sent may not be drawn yet: without a picture on the screen, it is not live.
    if (mine.age_ms === null || !picture.naturalWidth) return show("connecting");
    const age = Math.max(camera.age_ms, mine.age_ms);
    const pause = camera.fps ? Math.min(2000 / camera.fps, SLOW_MS) : 0;
    if (age > FRESH_MS + pause) return showStale(camera.age_ms, age);
    retries = 0;
    show("live");
    keepStill();
  }

  function showStale(cameraAge, age) {
    const reason = age - cameraAge > FRESH_MS
      ? "The connection to this device is too slow."
      : "The camera has stopped sending for a moment.";
    show("stale", `${Math.round(age / 1000)} s old`, reason);
  }

  // Asking

  async function ask() {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), ANSWER_MS);
    try {
      const headers = { Accept: "application/json" };
      const options = { cache: "no-store", headers, signal: stop.signal };
      const answer = await fetch(`/status?key=${key || ""}`, options);
      if (answer.status === 401) location.replace("/login");
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
    // When the browser says offline, it is right; when it says online, it may be wrong.
    const reason = navigator.onLine
      ? `The doorbell has not answered since ${clock(heardAt)}.`
      : "This device is not connected to a network.";
    return show("offline", "No connection", reason);
  }

  async function poll() {
    const mine = round;
    try {
      const status = await ask();
      if (mine !== round) return;
      if (failures && retryTimer) openStream(); // It is back: do not wait any longer.
      failures = 0;
      heardAt = Date.now() / 1000;
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
    if (stage.dataset.state === "live") keepStill();
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
    clearTimeout(noticeTimer);
    noticeTimer = setTimeout(() => { place.hidden = true; }, 4000);
  }

  async function fetchSnapshot() {
    const answer = await fetch("/snapshot.jpg", { cache: "no-store" }).catch(() => null);
    if (!answer) throw new Error("No snapshot: the doorbell does not answer.");
    if (!answer.ok) throw new Error("No snapshot: there is no live picture.");
    const stamp = new Date().toLocaleString("sv").replaceAll(":", ".");
    const fileName = `${name.replace(/[\\/:*?"<>|]/g, "_")} ${stamp}.jpg`;
    return new File([await answer.blob()], fileName, { type: "image/jpeg" });
  }

  // Browsers only offer sharing if the page came over HTTPS or from the same machine.
  async function keep(file) {
    if (navigator.canShare?.({ files: [file] })) return navigator.share({ files: [file] });
    download(file);
    return notice("Snapshot saved");
  }

  function download(file) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  async function snapshot({ currentTarget: button }) {
    // Do not disable the button: a disabled button loses the keyboard focus.
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    try {
      await keep(await fetchSnapshot());
    } catch (error) {
      // AbortError: the user has cancelled sharing.
      if (error.name !== "AbortError") notice(error.message);
    } finally {
      button.ariaBusy = "false";
    }
  }

  async function logOut() {
    pause();
    await fetch("/logout", { method: "POST" }).catch(() => null);
    location.replace("/login");
  }

  // Safari has its own name for full screen, and does not have it at all on iPhones.
  const root = document.documentElement;
  const enter = root.requestFullscreen || root.webkitRequestFullscreen;
  const leave = document.exitFullscreen || document.webkitExitFullscreen;
  const isFull = () => document.fullscreenElement || document.webkitFullscreenElement;

  async function toggleFullscreen() {
    try {
      await (isFull() ? leave.call(document) : enter.call(root));
    } catch {
      notice("This browser does not allow full screen here.");
    }
  }

  function labelFullscreen() {
    element("fullscreen-label").textContent = isFull() ? "Leave full screen" : "Full screen";
  }

  picture.addEventListener("error", () => { if (key) reopenStream(); });
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pageshow", follow); // from the back/forward cache
  window.addEventListener("pagehide", pause);
  element("snapshot").addEventListener("click", snapshot);
  element("fullscreen").addEventListener("click", toggleFullscreen);
  element("logout").addEventListener("click", logOut);
  for (const event of ["fullscreenchange", "webkitfullscreenchange"]) {
    document.addEventListener(event, labelFullscreen);
  }
  element("badge").hidden = false;
  element("controls").hidden = false;
  element("fullscreen").hidden = !enter;
  follow();
})();
