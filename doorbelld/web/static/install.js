// What becomes of the page on the home screen, and how a phone can trust the doorbell's certificate.

import { say, translate } from "./words.js";

translate();

// Without HTTPS browsers install no app.
const kind = location.protocol === "https:" ? "install.app" : "install.icon";
document.getElementById("result").textContent = say(kind);

// The daemon has this file if its own authority has signed the certificate.
fetch("ca.crt", { method: "HEAD" })
  .then(({ ok }) => { document.getElementById("trust").hidden = !ok; })
  .catch(() => null);
