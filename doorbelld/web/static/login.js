"use strict";

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
  } catch { // A sandboxed frame has no cookies.
    return false;
  }
}

const note = document.getElementById("framed");
note.hidden = window === window.top || location.protocol === "https:" || keepsCookies();
