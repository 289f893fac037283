// Asks the doorbell for something, and has a sentence for each way in which that can fail.

import { knows, say } from "./words.js";

const LIMIT_MS = 10000;

// `status` is 0 if there was no answer.
export class Refusal extends Error {
  constructor(status) {
    const key = `visits.error.${status}`;
    super(say(knows(key) ? key : "visits.error.other", { status }));
    this.status = status;
  }
}

// Returns what `read` makes of the answer. Throws a Refusal, or an AbortError after abort.abort().
export async function ask(url, read, { method = "GET", abort = new AbortController() } = {}) {
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    abort.abort();
  }, LIMIT_MS);
  try {
    const headers = { Accept: "application/json, image/jpeg" };
    const answer = await fetch(url, { method, headers, signal: abort.signal });
    if (answer.status === 401) location.replace("login");
    if (!answer.ok) throw new Refusal(answer.status);
    return await read(answer);
  } catch (error) {
    if (error instanceof Refusal || (abort.signal.aborted && !isLate)) throw error;
    throw new Refusal(0);
  } finally {
    clearTimeout(timer);
  }
}

export const json = (answer) => answer.json();
export const blob = (answer) => answer.blob();
export const nothing = () => null;
