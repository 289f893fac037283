// Telling the doorbell to do something.

import { knows, say } from "./words.js";

const LIMIT_MS = 6000;

// Returns the status of the answer, 0 if there is none.
export async function post(url) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), LIMIT_MS);
  try {
    const answer = await fetch(url, { method: "POST", cache: "no-store", signal: stop.signal });
    return answer.status;
  } catch (error) {
    return 0;
  } finally {
    clearTimeout(timer);
  }
}

// What a status other than 2xx means, in words.
export function failure(status) {
  const key = `failed.${status}`;
  return say(knows(key) ? key : "failed.other", { status });
}
