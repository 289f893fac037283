// If anything is wrong with the scripts of the page, it still shows the picture, as it does without
// JavaScript. This file is for every browser that there is: ECMAScript 5, and nothing is taken for
// granted.

(function () {
  "use strict";

  var PATIENCE_MS = 8000; // for the scripts to begin
  var RETRY_MS = 3000;
  var MISSES = 2; // looks in a row at which the daemon does not have this viewer
  var state = { hasBegun: false, isShown: false };
  var key = Math.random().toString(36).slice(2); // this viewer's in the daemon's status
  var image = null;
  var question = null;
  var misses = 0;

  function show() {
    if (state.isShown) return;
    state.isShown = true;
    // The scripts may be running: end their stream, so that there is never more than one.
    try {
      window.dispatchEvent(new Event("fallback"));
    } catch (error) {
      // Then the browser is too old for them as well.
    }
    if (document.getElementById("stage")) insert();
    else document.addEventListener("DOMContentLoaded", insert);
  }

  function insert() {
    var canvas = document.getElementById("picture");
    image = document.createElement("img");
    image.className = "picture";
    image.alt = document.title;
    image.onerror = function () { setTimeout(load, RETRY_MS); };
    load();
    canvas.parentNode.insertBefore(image, canvas);
    canvas.parentNode.removeChild(canvas);
    // Nothing says any more whether the picture is live.
    each(["badge", "message", "controls", "taken", "watching", "watchers", "ring", "question", "bell"], function (id) {
      var element = document.getElementById(id);
      if (element) element.parentNode.removeChild(element);
    });
    image.id = "picture";
    document.getElementById("stage").removeAttribute("data-state");
    document.addEventListener("visibilitychange", follow);
    setInterval(look, RETRY_MS);
  }

  function load() {
    misses = 0;
    if (!document.hidden) image.src = "video_feed?key=" + key + "&at=" + new Date().getTime();
  }

  // Browsers do not tell when the stream of an image ends, so the daemon is asked.
  function look() {
    if (question) question.abort();
    question = null;
    if (document.hidden) return;
    var request = question = new XMLHttpRequest();
    request.onload = function () { learn(request); };
    request.open("GET", "status?key=" + key);
    request.setRequestHeader("Accept", "application/json");
    request.send();
  }

  function learn(answer) {
    if (answer.status === 401) location.reload(); // It leads to the login.
    if (answer.status !== 200) return;
    misses = /"viewers":\s*\[\s*\]/.test(answer.responseText) ? misses + 1 : 0;
    if (misses >= MISSES) load();
  }

  // Some browsers only end the stream of an image when the page goes, and perhaps the scripts work
  // the next time.
  function follow() {
    if (document.hidden) image.removeAttribute("src");
    else location.reload();
  }

  function each(list, act) {
    for (var at = 0; at < list.length; at += 1) act(list[at]);
  }

  function canRunScripts() {
    return "noModule" in document.createElement("script")
      && window.fetch && window.AbortController && window.ReadableStream && window.TextDecoder
      && window.URLSearchParams && window.Response && "body" in window.Response.prototype;
  }

  // Errors of the page's own scripts count, and scripts that cannot be loaded or read. Those of
  // browser extensions do not, nor what browsers report without any error.
  function onError(event) {
    var target = event.target;
    if (target && target.tagName === "SCRIPT") show();
    if (event.error && isOurs(event.filename || "")) show();
  }

  function isOurs(url) {
    var folder = location.href.split(/[?#]/)[0].replace(/[^\/]*$/, "");
    return url.indexOf(folder) === 0;
  }

  window.fallback = state;
  if (!canRunScripts()) {
    show();
    return;
  }
  window.addEventListener("error", onError, true);
  window.addEventListener("unhandledrejection", function () {
    if (!state.hasBegun) show();
  });
  setTimeout(function () { if (!state.hasBegun) show(); }, PATIENCE_MS);
}());
