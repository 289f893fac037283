"""Visits: who was there, for pages and programs; see docs/visits.md."""

from __future__ import annotations

import re
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from io import FileIO
from typing import Any
from urllib.parse import quote

from doorbelld.media import multipart
from doorbelld.server.filebody import FileBody, Part, Span
from doorbelld.server.replies import NO_STORE, as_json, refusal, reply
from doorbelld.server.request import Query, Request, RequestError
from doorbelld.server.response import Response
from doorbelld.visits.doorbell import Doorbell
from doorbelld.visits.film import Film
from doorbelld.visits.visit import Kind, StoreError, Visit, described
from doorbelld.web import guard, visits_page
from doorbelld.web.site import Context

_PATH = re.compile(r"/visits/([1-9][0-9]{0,17})([./][a-z]+|/(?:0|[1-9][0-9]{0,8})\.jpg)")
"""An id, and what of the visit. Only these digits: one address for each thing."""

_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)

_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_MOST_AT_ONCE = 200
_HIGHEST = 10**18
_MOST_FILMS = 100
"""Films that are sent at the same time: each needs a descriptor, and a piece in memory."""

_LATER = {"Retry-After": "5"}
_ANY_PAGE = {"Access-Control-Allow-Origin": "*"}
"""For an answer with a token: the page of ntfy's web app shows whether it worked."""

_GONE = "there is no such visit, or not any more"

_Route = Callable[[Context], Response]
_OfOne = Callable[[Context, int], Response]


class Visits:
    """Answers with visits, their stills and films. ``name`` returns the camera's name."""

    def __init__(self, doorbell: Doorbell, name: Callable[[], str]) -> None:
        self._doorbell = doorbell
        self._name = name
        self._films = _Places(_MOST_FILMS)
        self._seen: Mapping[str, _OfOne] = {
            ".json": self._one,
            ".jpg": self._still,
            ".mjpeg": self._film,
            "/video": self._video,
        }
        self._done: Mapping[str, _OfOne] = {"/answered": self._answer, "/delete": self._delete}

    def route(self, path: str) -> _Route | None:
        """Return what shows the visit with the id in a path; None for another path."""
        number, what = _parts_of(path)
        if what.startswith("/") and what.endswith(".jpg"):
            return _answered_by(partial(self._picture, picture=int(what[1:-4])), number)
        return _answered_by(self._seen.get(what), number)

    def form(self, path: str) -> _Route | None:
        """Return what does something with that visit; None for another path."""
        number, what = _parts_of(path)
        return _answered_by(self._done.get(what), number)

    def to_answer(self, path: str) -> int:
        """Return the id of the visit that a POST to a path answers; 0 for another path."""
        number, what = _parts_of(path)
        return number if what == "/answered" else 0

    def page(self, context: Context) -> Response:
        """Return the page with the newest visits, or those before one."""
        found, next_id = self._newest(context.request.query)
        status = self._doorbell.status()["visits"]
        kept = visits_page.Kept(status["bytes"], status["space"], status["days"])
        assets = context.site.assets
        page = visits_page.page(assets, found, next_id, kept, time.time())
        return reply(HTTPStatus.OK, assets["/visits"].content_type, page)

    def newest(self, context: Context) -> Response:
        """Return the newest visits, or those before one."""
        found, next_id = self._newest(context.request.query)
        status = self._doorbell.status()["visits"]
        return as_json(
            HTTPStatus.OK,
            {
                "visits": [described(visit) for visit in found],
                "next": next_id,
                **{key: status[key] for key in ("count", "bytes", "space", "days")},
                "motion": self._knows_motion(found, status),
            },
        )

    def _knows_motion(self, found: list[Visit], status: Mapping[str, Any]) -> bool:
        """Return whether anything is set up for motion, or a visit of motion is left."""
        if status["motion"]["state"] != "off" or status["ignore"]:
            return True
        if any(each.kind is Kind.MOTION for each in found):
            return True
        return bool(self._doorbell.visits(None, 1, Kind.MOTION))

    def _newest(self, query: Query) -> tuple[list[Visit], int | None]:
        """Return the visits that are asked for, and what ``before`` is for those after them."""
        limit = _whole(query, "limit", 1, _MOST_AT_ONCE) if "limit" in query else 50
        before = _whole(query, "before", 1, _HIGHEST) if "before" in query else None
        kind = _kind(query)
        found = self._doorbell.visits(before, limit, kind)
        more = self._doorbell.visits(found[-1].id, 1, kind) if len(found) == limit else []
        return found, found[-1].id if more else None

    def delete_all(self, context: Context) -> Response:
        """Delete all visits."""
        guard.insist_on_a_plain_post(context.request, context.embedder)
        self._doorbell.delete_all()
        return Response(HTTPStatus.NO_CONTENT, NO_STORE)

    # One visit

    def _one(self, _: Context, number: int) -> Response:
        visit = self._doorbell.visit(number)
        if visit is None:
            return _not_found()
        film = self._doorbell.store.film(number)
        moments: list[float] = []
        if film is not None:
            with film:
                moments = [round(frame.moment, 3) for frame in film.frames]
        return as_json(HTTPStatus.OK, {**described(visit), "frames": moments})

    def _still(self, context: Context, number: int) -> Response:
        visit = self._doorbell.visit(number)
        still = self._doorbell.still(number) if visit else None
        if visit is None or still is None:
            return _not_found("there is no picture of this visit" if visit else _GONE)
        version = str(visit.still)
        later = self._doorbell.visit(number)  # A sharper one may have taken its place by now.
        is_this = later is not None and version == context.request.query.get("v") == str(
            later.still
        )
        return reply(HTTPStatus.OK, "image/jpeg", still, _FOR_EVER if is_this else NO_STORE)

    def _picture(self, _: Context, number: int, picture: int) -> Response:
        film = self._doorbell.store.film(number)
        if film is None:
            return _not_found("there is no film of this visit, or no such visit")
        with film:
            if picture >= len(film.frames):
                return _not_found("the film has no picture with this number")
            data = film.read(picture)
        return reply(HTTPStatus.OK, "image/jpeg", data, _FOR_EVER)

    def _film(self, context: Context, number: int) -> Response:
        visit, film = self._doorbell.visit(number), self._doorbell.store.film(number)
        if visit is None or film is None:
            return _not_found("there is no film of this visit" if visit else _GONE)
        headers = {
            "Content-Type": "video/x-motion-jpeg",
            "Accept-Ranges": "bytes",
            "Content-Disposition": _file_name(self._name(), visit.at),
        }
        with film:
            status, span = _span(context.request, film.bytes)
            if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                fields = {"Content-Range": f"bytes */{film.bytes}"}
                return refusal(status, f"the film has {film.bytes} bytes", fields)
            if status == HTTPStatus.PARTIAL_CONTENT:
                last = span.offset + span.length - 1
                headers["Content-Range"] = f"bytes {span.offset}-{last}/{film.bytes}"
            return self._send(film, status, headers, span.length, iter([span]))

    def _video(self, _: Context, number: int) -> Response:
        visit, film = self._doorbell.visit(number), self._doorbell.store.film(number)
        if visit is None or film is None:
            return _not_found("there is no film of this visit" if visit else _GONE)
        with film:
            # A list of frames would take fifty times the memory, for as long as the film is sent.
            lengths = array("I", [frame.length for frame in film.frames])
            moments = array("d", [visit.at + frame.moment for frame in film.frames])
            length = sum(
                part.length if isinstance(part, Span) else len(part)
                for part in _multipart(lengths, moments)
            )
            headers = {"Content-Type": multipart.CONTENT_TYPE, "X-Accel-Buffering": "no"}
            return self._send(film, HTTPStatus.OK, headers, length, _multipart(lengths, moments))

    def _send(
        self,
        film: Film,
        status: HTTPStatus,
        headers: Mapping[str, str],
        length: int,
        parts: Iterator[Part],
    ) -> Response:
        if not self._films.take():
            why = f"{_MOST_FILMS} films are being sent already, which is the limit"
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}; try again in a moment", _LATER)
        try:
            file = FileIO(film.path, opener=lambda *_: film.open())
        except OSError:
            self._films.give_back()
            raise
        return Response(
            status,
            {**headers, "Content-Length": str(length), **NO_STORE},
            file=FileBody(file, parts, self._films.give_back),
        )

    def _answer(self, context: Context, number: int) -> Response:
        if not context.answers:
            guard.insist_on_a_plain_post(context.request, context.embedder)
        visit = self._doorbell.answer(number)
        if visit is None or visit.answered is None:
            return _not_found()
        response = as_json(HTTPStatus.OK, {"answered": round(visit.answered, 3)})
        if context.answers:
            return replace(response, headers={**response.headers, **_ANY_PAGE})
        return response

    def _delete(self, context: Context, number: int) -> Response:
        guard.insist_on_a_plain_post(context.request, context.embedder)
        if not self._doorbell.delete(number):
            return _not_found()
        return Response(HTTPStatus.NO_CONTENT, NO_STORE)


class _Places:
    """A number of places, taken and given back by any thread."""

    def __init__(self, count: int) -> None:
        self._places = threading.BoundedSemaphore(count)

    def take(self) -> bool:
        return self._places.acquire(blocking=False)

    def give_back(self) -> None:
        self._places.release()


def _parts_of(path: str) -> tuple[int, str]:
    """Return the id in a path, and what follows it; 0 and "" for another path."""
    found = _PATH.fullmatch(path)
    return (int(found[1]), found[2]) if found else (0, "")


def _answered_by(route: _OfOne | None, number: int) -> _Route | None:
    if route is None:
        return None

    def answer(context: Context) -> Response:
        try:
            return route(context, number)
        except (StoreError, OSError, EOFError) as error:
            why = f"the visits cannot be read: {error}"
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, _LATER)

    return answer


def _not_found(why: str = _GONE) -> Response:
    return refusal(HTTPStatus.NOT_FOUND, why)


def _multipart(lengths: array[int], moments: array[float]) -> Iterator[Part]:
    """Yield the parts of a film, the pictures of which follow each other in its file."""
    offset, boundary = 0, multipart.BOUNDARY
    for length, moment in zip(lengths, moments):
        yield boundary + multipart.exact_head(length, moment)
        yield Span(offset, length)
        offset += length
        boundary = b"\r\n" + multipart.BOUNDARY
    yield b"\r\n" + multipart.CLOSING


def _span(request: Request, size: int) -> tuple[HTTPStatus, Span]:
    """Return the status with which to answer, and the part of a file that is asked for.

    A range that cannot be understood, or several, are ignored as RFC 9110 allows (section 14.2);
    and every range with an If-Range, because it names a version and there are none.
    """
    everything = HTTPStatus.OK, Span(0, size)
    asked = request.headers.get_all("Range")
    found = _RANGE.fullmatch(asked[0].strip()) if len(asked) == 1 else None
    if found is None or request.headers.get("If-Range"):
        return everything
    first, last, suffix = found.groups()
    if suffix is not None:
        begin, end = max(size - int(suffix), 0), size
    else:
        begin, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return everything
    if begin >= end:
        return HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, Span(0, 0)
    return HTTPStatus.PARTIAL_CONTENT, Span(begin, end - begin)


def _file_name(name: str, at: float) -> str:
    """Return a Content-Disposition by which a browser saves a film under a readable name."""
    moment = time.strftime("%Y-%m-%d %H.%M.%S", time.localtime(at))
    name = f"{re.sub(r'[/:*?<>|]', '_', name)} {moment}.mjpeg"
    plain = re.sub(r'[^ -~]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _kind(query: Query) -> Kind | None:
    if "kind" not in query:
        return None
    try:
        return Kind(query["kind"])
    except ValueError:
        raise RequestError("kind must be ring or motion") from None


def _whole(query: Query, name: str, least: int, most: int) -> int:
    """Return a parameter that must be there. Raises RequestError."""
    text = query[name]
    value = int(text) if _NUMBER.fullmatch(text) else -1
    if not least <= value <= most:
        raise RequestError(f"{name} must be a whole number from {least} to {most}")
    return value
