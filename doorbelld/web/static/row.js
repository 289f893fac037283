// One visit in words, and as a row of the list.

import { clock, decimal, knows, say, timeOfDay } from "./words.js";

export const kindOf = ({ kind }) => say(kind === "ring" ? "visits.ring" : "visits.motion");

// "Ring, 14:03"
export const nameOf = (visit) => (
  say("visits.name", { kind: kindOf(visit), time: clock(visit.at) })
);

// Why there is no picture; "" if that is not known.
export function reasonOf({ reason }) {
  if (!reason) return "";
  const own = `visits.reason.${reason}`;
  const key = `reason.${reason}`;
  return say(knows(own) ? own : knows(key) ? key : "reason.other");
}

// What else there is to say, as [class, sentence].
export function remarksOf(visit) {
  const { kind, state, presses, answered, seconds } = visit;
  const found = [];
  if (state === "open") found.push(["more", say("visits.open")]);
  if (presses > 1) found.push(["more", say("visits.presses", { count: presses })]);
  if (answered) found.push(["answered", say("visits.answered", { time: clock(answered) })]);
  else if (kind === "ring" && state !== "open") found.push(["missed", say("visits.missed")]);
  if (state === "interrupted") found.push(["more", say("visits.interrupted")]);
  if (seconds) found.push(["length", say("visits.seconds", { seconds: decimal(seconds, 0) })]);
  return found;
}

export function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

// The picture in a row, or why there is none.
function picture(visit) {
  const box = element("span", "picture-box");
  if (visit.still) {
    const image = element("img", "");
    image.alt = "";
    image.loading = "lazy";
    image.decoding = "async";
    image.src = visit.still;
    box.append(image);
  } else {
    const why = element("span", "nothing");
    why.append(element("b", "", say("visits.nothing")), element("span", "", reasonOf(visit)));
    box.append(why);
  }
  return box;
}

export function rowOf(visit) {
  const row = element("li", "visit");
  row.dataset.id = visit.id;
  row.dataset.kind = visit.kind;
  row.dataset.state = visit.state;
  const link = element("a", "open");
  link.href = `#${visit.id}`;
  const facts = element("span", "facts");
  const when = element("time", "when", timeOfDay(visit.at));
  when.dateTime = new Date(visit.at * 1000).toISOString();
  facts.append(when, element("span", "what", kindOf(visit)));
  for (const [className, text] of remarksOf(visit)) {
    facts.append(element("span", className, text));
  }
  link.append(picture(visit), facts);
  row.append(link);
  return row;
}
