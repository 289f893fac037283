"use strict";

// The form in the language of the browser. Without a login, a client gets nothing but this form, so
// these words are not in words.js. What has no translation stays in English.
const words = {
  de: {
    "Doorbell": "Türklingel",
    "Password": "Passwort",
    "See who is there": "Nachsehen, wer da ist",
    "That is not the password.": "Das ist nicht das Passwort.",
  },
};

function translate(tag) {
  const table = words[tag];
  if (!table) return;
  document.documentElement.lang = tag;
  document.title = table[document.title] || document.title;
  for (const element of document.querySelectorAll("h1, label, #message, button")) {
    const translated = table[element.textContent];
    if (translated) {
      element.textContent = translated;
      element.removeAttribute("lang");
    }
  }
}

const tags = (navigator.languages || []).map((each) => each.split("-")[0].toLowerCase());
translate(tags.find((tag) => tag === "en" || tag in words));

// After a link from another site, or from the app on the home screen, the browser's first request
// has no cookie, because it only sends the cookie from our own pages. This is one of them, so the
// request here has it.
fetch("status", { cache: "no-store", headers: { Accept: "application/json" } })
  .then((answer) => { if (answer.ok) location.replace("./"); })
  .catch(() => { /* Then the form stays. */ });

// In a frame on another site, a browser does not keep our usual cookie. Over HTTPS we use one that
// it keeps. A test cookie of the usual kind shows whether this browser keeps ours.
function keepsCookies() {
  try {
    document.cookie = "doorbelld_probe=1; Max-Age=60; SameSite=Strict";
    const kept = document.cookie.includes("doorbelld_probe=1");
    document.cookie = "doorbelld_probe=; Max-Age=0; SameSite=Strict";
    return kept;
  } catch (error) { // A sandboxed frame has no cookies.
    return false;
  }
}

const note = document.getElementById("framed");
note.hidden = window === window.top || location.protocol === "https:" || keepsCookies();
