// The snapshot: the very picture on the screen, as the camera has sent it.

import { knows, say } from "./words.js";

const LIMIT_MS = 6000;
const KEEP_MS = 10000; // until a download has begun

// `newest` is what the screen shows, { blob, timestamp }, or null if that is not live: then the
// doorbell is asked. `notice` says how it went.
export async function snapshot(button, { name, newest, notice }) {
  // A disabled button would not keep the focus.
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    if (!newest) notice(say("snapshot.busy"));
    const picture = newest || (await fetchPicture());
    notice(say(await keep(fileOf(picture, name))));
  } catch (error) {
    // AbortError: the user does not want to share it after all.
    if (error.name !== "AbortError") notice(error.message);
  } finally {
    button.setAttribute("aria-busy", "false");
  }
}

async function fetchPicture() {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), LIMIT_MS);
  try {
    const options = { cache: "no-store", signal: stop.signal };
    const answer = await fetch("snapshot.jpg", options);
    if (!answer.ok) throw new Refusal(answer.status);
    const timestamp = Number(answer.headers.get("X-Timestamp")) || Date.now() / 1000;
    return { blob: await answer.blob(), timestamp };
  } catch (error) {
    if (error instanceof Refusal) throw error;
    if (stop.signal.aborted) throw new Error(say("snapshot.late", { seconds: LIMIT_MS / 1000 }));
    throw new Error(say("snapshot.silent"));
  } finally {
    clearTimeout(timer);
  }
}

class Refusal extends Error {
  constructor(status) {
    const key = `snapshot.${status}`;
    super(say(knows(key) ? key : "snapshot.other", { status }));
  }
}

// Named by the time of the picture, where it is seen, and in an order that sorts.
export function fileOf({ blob, timestamp }, name) {
  const then = new Date(timestamp * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const day = [then.getFullYear(), two(then.getMonth() + 1), two(then.getDate())].join("-");
  const time = [then.getHours(), then.getMinutes(), then.getSeconds()].map(two).join(".");
  const fileName = `${name.replace(/[\\/:*?"<>|]/g, "_")} ${day} ${time}.jpg`;
  return new File([blob], fileName, { type: "image/jpeg" });
}

// Browsers only offer sharing if the page came over HTTPS or from the same machine.
export async function keep(file) {
  const data = { files: [file] };
  if (navigator.canShare && navigator.canShare(data)) {
    try {
      await navigator.share(data);
      return "snapshot.shared";
    } catch (error) {
      if (error.name === "AbortError") throw error;
      // This browser offers more than it does.
    }
  }
  download(file);
  return "snapshot.saved";
}

function download(file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEEP_MS);
}
