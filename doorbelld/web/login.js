"use strict";

// Who follows a link from another site, or opens the app on the home screen, comes without the
// cookie at first: it is only sent by our own pages. This is one of them, so it can ask.
fetch("/status", { cache: "no-store", headers: { Accept: "application/json" } })
  .then((answer) => { if (answer.ok) location.replace("/"); })
  .catch(() => { /* Then there is the form. */ });
