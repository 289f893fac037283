"""PosedPage: the page in any state, with any picture on it.

Everything but app.js is the daemon's own: the HTML, the styles, the screen, the controls, the
snapshot and the words.
"""

from __future__ import annotations

import base64
from typing import Any

from playwright.sync_api import Route

from tests.support.daemon import Daemon
from tests.support.phone import Phone
from tests.support.pictures import jpeg

_APP = """
import { Bell } from "./bell.js";
import { showCard } from "./cards.js";
import { Controls } from "./controls.js";
import { Screen } from "./screen.js";
import { Shutter } from "./shutter.js";
import { snapshot } from "./snapshot.js";
import { say, translate } from "./words.js";

const element = (id) => document.getElementById(id);
const sentence = (words) => (words ? say(...words) : "");
const stage = element("stage");
const screen = new Screen(stage, element("picture"));
const controls = new Controls(stage);
const notice = (text) => controls.notice(text);
const clock = { age: (at) => Date.now() / 1000 - at };
const bell = new Bell(stage, { clock, notice, entitle: () => null });
const shutter = new Shutter(stage, notice);
let newest = null;
let bitmap = null;
let id = 0;

function pose(words) {
  stage.dataset.state = words.state;
  element("badge").textContent = say(`badge.${words.state}`);
  for (const id of ["headline", "detail", "help", "note", "watching"]) {
    element(id).textContent = sentence(words[id]);
  }
  element("technical").textContent = words.technical || "";
  element("more").hidden = !words.technical;
  element("message").hidden = !words.headline && !words.note;
  element("taken").textContent = words.taken ? say("picture.time", { time: words.taken }) : "";
  element("logout").hidden = !words.password;
  element("resume").hidden = words.state !== "shut";
  if (words.state === "shut") screen.clear();
  else if (bitmap) screen.draw(bitmap);
  shutter.learn({ shutter: { closed: words.state === "shut", since: 0 } });
  showCard(stage, element("question"), Boolean(words.question));
  poseBell(words);
}

function poseBell({ visit = null, isSilenced = false, watchers = [] }) {
  id += 1; // or a ring would not be news
  const { ago = 0 } = visit || {};
  bell.learn({ visit: visit && Object.assign({ id, pressed_at: Date.now() / 1000 - ago }, visit) });
  stage.dataset.sound = isSilenced ? "silenced" : "off";
  element("sound-label").textContent = say(isSilenced ? "sound.tap" : "sound.on");
  element("watchers").hidden = !watchers.length;
  element("watchers").textContent = "";
  for (const row of watchers) {
    element("watchers").appendChild(document.createElement("li")).textContent = say(...row);
  }
}

async function draw(data, timestamp) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/jpeg" });
  bitmap = await createImageBitmap(blob);
  screen.draw(bitmap);
  newest = timestamp ? { blob, timestamp } : null;
}

element("snapshot").addEventListener("click", ({ currentTarget }) => snapshot(currentTarget, {
  name: element("name").textContent,
  newest,
  notice,
}));
const picture = element("picture");
picture.setAttribute("role", "img");
picture.setAttribute("aria-label", say("picture.alt", { name: element("name").textContent }));
picture.removeAttribute("aria-hidden");
element("badge").hidden = element("controls").hidden = element("bell").hidden = false;
translate();
window.posed = { controls, draw, pose, screen };
"""

STATES: dict[str, dict[str, Any]] = {
    "connecting": {"state": "connecting", "headline": ["camera.starting"]},
    "live": {"state": "live", "taken": "21:38"},
    "slow": {"state": "slow", "taken": "21:38", "note": ["slow.smaller"]},
    "stale": {
        "state": "stale",
        "taken": "21:38",
        "headline": ["stale.age", {"seconds": 4}],
        "detail": ["stale.connection"],
    },
    "offline": {
        "state": "offline",
        "taken": "21:38",
        "headline": ["offline.since", {"time": "21:38"}],
        "detail": ["reason.unreachable"],
        "help": ["reason.unreachable.help"],
        "note": ["trying"],
        "technical": "http://192.168.178.120:8080/video does not answer: No route to host",
    },
    "full": {
        "state": "full",
        "taken": "21:38",
        "headline": ["full"],
        "detail": ["full.limit", {"count": 10}],
        "note": ["full.second"],
    },
    "paused": {"state": "paused", "taken": "21:38"},
    "shut": {
        "state": "shut",
        "headline": ["shutter.since", {"time": "21:38"}],
        "detail": ["shutter.bell"],
    },
}
"""Every state that a badge has, with words as long as they get."""

_VISIT = {"presses": 1, "reason": "", "answered": None}
_RING = {**_VISIT, "presses": 3, "still": "visits/3.jpg?v=1"}
_RING_WITHOUT_PICTURE = {**_VISIT, "still": None, "reason": "software"}
_RING_BEFORE = {**_VISIT, "ago": 2 * 86400, "still": "visits/1.jpg?v=1"}
_WATCHERS = [
    ["watching.self", {"address": "192.168.178.120", "time": "21:31"}],
    ["watching.since", {"address": "fd00:1234:5678:9abc:def0:1234:5678:9abc", "time": "21:38"}],
    ["watching.more", {"count": 4}],
]

MANY = {"watching": ["watching", {"count": 12}], "password": True, "visit": _RING_BEFORE}
"""What else there can be."""

CARDS: dict[str, tuple[str, dict[str, Any]]] = {
    "ring": ("live", {"visit": _RING}),
    "ring without picture": ("offline", {"visit": _RING_WITHOUT_PICTURE}),
    "question": ("live", {"question": True, "visit": _RING_BEFORE}),
    "watchers": ("live", {**MANY, "watchers": _WATCHERS, "isSilenced": True}),
}
"""What lies beside the picture for a while: the state, and what is then shown besides."""


class PosedPage:
    """The page of a daemon, with nothing on it that moves."""

    def __init__(self, phone: Phone, daemon: Daemon) -> None:
        self.phone = phone
        self.page = phone.page
        self._still = jpeg(7, 640, 480)
        for name, text in (("app.js", _APP), ("fallback.js", "")):
            self.page.route(f"**/{name}", _answer(text))
        self.page.route("**/visits/*.jpg*", self._answer_still)
        # Python may call a function of the page before its script has run.
        phone.open(daemon)
        self.page.wait_for_function("() => 'posed' in window")

    def show(self, state: str, **more: object) -> None:
        """Show a state, with ``more`` than it has in :data:`STATES`."""
        self.page.evaluate("(words) => posed.pose(words)", {**STATES[state], **more})

    def draw(self, picture: bytes, timestamp: float = 0) -> None:
        """Draw a picture, also in stills; only with a timestamp can it become a snapshot."""
        self._still = picture
        data = base64.b64encode(picture).decode()
        self.page.evaluate("([data, at]) => posed.draw(data, at)", [data, timestamp])

    def enlarge_text(self, percent: int) -> None:
        """Show text in another size, as the settings of a phone do."""
        root = "document.documentElement.style.fontSize"
        self.page.evaluate(f"(size) => {{ {root} = size; }}", f"{percent}%")

    def _answer_still(self, route: Route) -> None:
        route.fulfill(body=self._still, content_type="image/jpeg")


def _answer(text: str) -> Any:
    def answer(route: Route) -> None:
        route.fulfill(body=text, content_type="text/javascript")

    return answer
