"use strict";

// Who follows a link from another site, or opens the app on the home screen, comes without the
// cookie at first: it is only sent by our own pages. This is one of them, so it can ask.
fetch("/status", { cache: "no-store", headers: { Accept: "application/json" } })
  .then((answer) => { if (answer.ok) location.replace("/"); })
  .catch(() => { /* Then there is the form. */ });

// In a frame of another site a browser does not keep our usual cookie. Over HTTPS there is one
// that it does keep. A cookie of the same kind shows whether this browser keeps ours.
function keepsCookies() {
  try {
    document.cookie = "doorbelld_probe=1; Max-Age=60; Path=/login; SameSite=Strict";
    const kept = document.cookie.includes("doorbelld_probe=1");
    document.cookie = "doorbelld_probe=; Max-Age=0; Path=/login; SameSite=Strict";
    return kept;
  } catch { // A sandboxed frame has no cookies.
    return false;
  }
}

const note = document.getElementById("framed");
note.hidden = window === window.top || location.protocol === "https:" || keepsCookies();
