"""The page of visits as the daemon writes it: the newest ones, for browsers without JavaScript.

The page's own script makes the same rows, in the language and the time zone of the browser.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import NamedTuple

from doorbelld.visits.visit import Kind, Visit, VisitState, still_url
from doorbelld.web.assets import Asset

_ROWS, _KEPT = b"<!--visits-->", b"<!--kept-->"
"""What is replaced in the HTML. A camera's name cannot look like this, because it is escaped."""


class Kept(NamedTuple):
    """How many bytes visits use, of how many, and for how many days they are kept."""

    used: int
    space: int
    days: float


def page(
    assets: Mapping[str, Asset],
    visits: Sequence[Visit],
    next_id: int | None,
    kept: Kept,
    now: float,
) -> bytes:
    """Return the page with these visits, the newest first.

    ``next_id`` leads to those before them, None if there are none; ``now`` is in Unix seconds.
    """
    writer = _Writer(_english(assets["/words.js"].body), now)
    rows, below = writer.rows(visits, next_id), writer.kept(kept)
    page = assets["/visits"].body
    return page.replace(_ROWS, rows.encode(), 1).replace(_KEPT, below.encode(), 1)


@lru_cache(maxsize=1)
def _english(script: bytes) -> Mapping[str, str]:
    """Return the English sentences of words.js by their keys."""
    table = script.decode().partition("\nconst en = {\n")[2].partition("\n};\n")[0]
    return dict(re.findall(r'(?m)^ {2}"([\w.]+)": "([^"]*)",$', table))


class _Writer:
    """Writes HTML. ``words`` has the sentences by their keys."""

    def __init__(self, words: Mapping[str, str], now: float) -> None:
        self._words = words
        self._now = now

    def rows(self, visits: Sequence[Visit], next_id: int | None) -> str:
        """Return the visits by day."""
        rows = list(self._days(visits))
        if not rows:
            rows = [f'<p class="none">{self._say("visits.none")}</p>']
        if next_id is not None:
            link = f'<a href="visits?before={next_id}">{self._say("visits.older")}</a>'
            rows.append(f'<p class="older">{link}</p>')
        return "\n".join(rows)

    def kept(self, kept: Kept) -> str:
        """Return the sentence about space and time."""
        used, space = (_size(each) for each in (kept.used, kept.space))
        return self._say("visits.kept", used=used, space=space, count=f"{kept.days:g}")

    def _say(self, key: str, **values: object) -> str:
        """Return a sentence for HTML, with the plural that belongs to ``count``."""
        if "count" in values:
            key += ".one" if str(values["count"]) == "1" else ".other"
        text = re.sub(r"{(\w+)}", lambda name: str(values[name[1]]), self._words[key])
        return escape(text)

    def _days(self, visits: Sequence[Visit]) -> Iterator[str]:
        last = ""
        for visit in visits:
            day = self._day(visit.at)
            if day != last:
                yield "</ol>" * bool(last) + f'<h2 class="day">{day}</h2>\n<ol class="rows">'
            last = day
            yield self._row(visit)
        if last:
            yield "</ol>"

    def _day(self, at: float) -> str:
        then, today = time.localtime(at), time.localtime(self._now)
        if then[:3] == today[:3]:
            return self._say("visits.today")
        # Of noon, or a change of the clocks would make it another day.
        noon = time.mktime((*today[:3], 12, 0, 0, 0, 0, -1))
        if then[:3] == time.localtime(noon - 24 * 3600)[:3]:
            return self._say("visits.yesterday")
        year = "" if then.tm_year == today.tm_year else f" {then.tm_year}"
        return f"{time.strftime('%A', then)}, {then.tm_mday} {time.strftime('%B', then)}{year}"

    def _row(self, visit: Visit) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(visit.at))
        facts = [
            f'<time class="when" datetime="{moment}">{_clock(visit.at)}</time>',
            f'<span class="what">{self._say(f"visits.{visit.kind.value}")}</span>',
            *(f'<span class="{name}">{text}</span>' for name, text in self._remarks(visit)),
        ]
        film = f'<a class="get" href="visits/{visit.id}.mjpeg" download>' * bool(visit.frames)
        film += f"{self._say('visits.save.film')}</a>" * bool(visit.frames)
        opens = f' href="{still_url(visit)}"' if visit.still else ""
        return (
            f'<li class="visit" data-kind="{visit.kind.value}" data-state="{visit.state.value}">'
            f'<a class="open"{opens}>{self._picture(visit)}'
            f'<span class="facts">{"".join(facts)}</span></a>{film}</li>'
        )

    def _picture(self, visit: Visit) -> str:
        if visit.still:
            image = f'<img src="{still_url(visit)}" alt="" loading="lazy">'
            return f'<span class="picture-box">{image}</span>'
        keys = (f"visits.reason.{visit.reason}", f"reason.{visit.reason}", "reason.other")
        key = next(each for each in keys if each in self._words)
        why = self._say(key) if visit.reason else ""
        text = f"<b>{self._say('visits.nothing')}</b><span>{why}</span>"
        return f'<span class="picture-box"><span class="nothing">{text}</span></span>'

    def _remarks(self, visit: Visit) -> Iterator[tuple[str, str]]:
        """Yield what else there is to say: a class for the styles, and a sentence."""
        if visit.state is VisitState.OPEN:
            yield "more", self._say("visits.open")
        if visit.presses > 1:
            yield "more", self._say("visits.presses", count=visit.presses)
        if visit.answered is not None:
            yield "answered", self._say("visits.answered", time=_clock(visit.answered))
        elif visit.kind is Kind.RING and visit.state is not VisitState.OPEN:
            yield "missed", self._say("visits.missed")
        if visit.state is VisitState.INTERRUPTED:
            yield "more", self._say("visits.interrupted")
        if visit.seconds:
            yield "length", self._say("visits.seconds", seconds=f"{visit.seconds:.0f}")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _clock(at: float) -> str:
    return time.strftime("%H:%M", time.localtime(at))
