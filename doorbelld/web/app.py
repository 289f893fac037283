"""App: every request to doorbelld comes in here, and its answer goes out here.

The guard decides whether the request is allowed, the login whether the password is needed, and the
path decides what answers it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from string import punctuation
from typing import Any
from urllib.parse import quote

from doorbelld.access import embedding, ring_token
from doorbelld.notify.target import Result
from doorbelld.notify.target import Status as TargetStatus
from doorbelld.server.framing import Head
from doorbelld.server.limits import Limits
from doorbelld.server.replies import NO_STORE, TEXT, general, refusal, reply
from doorbelld.server.request import Request, RequestError
from doorbelld.server.response import Response
from doorbelld.stream.broadcaster import Broadcaster
from doorbelld.stream.hub import FrameHub
from doorbelld.stream.state import CameraStatus
from doorbelld.system.limited_log import RefusalLog
from doorbelld.visits.doorbell import Doorbell
from doorbelld.web import assets, guard
from doorbelld.web.bell import Bell
from doorbelld.web.guard import RefusedError
from doorbelld.web.live import Live
from doorbelld.web.login import OPEN_PATHS, RING, Login
from doorbelld.web.metrics import Metrics
from doorbelld.web.pictures import Pictures
from doorbelld.web.site import Context, Site
from doorbelld.web.status import Status
from doorbelld.web.visits import Visits

_log = logging.getLogger(__name__)

_TLS_ONLY = "this port speaks HTTPS alone: open the same address with https://"

_STREAMS = ("/video_feed", "/stream", "/stream.mjpg", "/video")
_SNAPSHOTS = ("/snapshot.jpg", "/snapshot", "/shot.jpg")
_WITH_ACTION = ("/", "/webcam", "/webcam/")
"""Where mjpg-streamer answers, by itself and behind OctoPi's proxy."""

Route = Callable[[Context], Response]


class App:
    """Answers with the page, the stream, snapshots and the status.

    ``camera_status`` returns the camera's part of ``/status``, ``limits`` the server's limits.
    ``test_messages`` sends one to all that are notified of a ring, and waits for what comes of it;
    ``notify_status`` returns how they are.
    """

    def __init__(
        self,
        site: Site,
        hub: FrameHub,
        broadcaster: Broadcaster,
        camera_status: Callable[[], CameraStatus],
        limits: Callable[[], Limits],
        doorbell: Doorbell,
        test_messages: Callable[[], Sequence[Result]] = list,
        notify_status: Callable[[], Mapping[str, TargetStatus]] = dict,
    ) -> None:
        self._site, self._broadcaster = site, broadcaster
        self._doorbell, self._notify_status = doorbell, notify_status
        self._refusals = RefusalLog()
        self._login = login = Login(self._refusals)
        self._pictures = pictures = Pictures(hub, broadcaster, camera_status, lambda: self._site)
        live = Live(pictures, broadcaster, camera_status, lambda: self._site, doorbell.state)
        status = Status(broadcaster, camera_status, limits, self._bell_status)
        metrics = Metrics(hub, broadcaster, camera_status, doorbell, self._bell_status)
        self._visits = visits = Visits(doorbell, lambda: camera_status().name)
        bell = Bell(doorbell, login, self._refusals, test_messages)
        self._shared = _routes_to(pictures)
        self._routes: Mapping[str, Route] = {
            **self._shared,
            "/live": live.stream,
            "/status": status.status,
            "/healthz": status.healthz,
            "/metrics": metrics.metrics,
            "/login": login.page,
            "/visits": visits.page,
            "/visits.json": visits.newest,
            RING: bell.ring,
        }
        self._forms: Mapping[str, Route] = {
            "/login": login.log_in,
            "/logout": login.log_out,
            "/live/report": live.report,
            "/visits/delete": visits.delete_all,
            **bell.forms,
        }

    @property
    def site(self) -> Site:
        """The site as it is now."""
        return self._site

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What TLS begins with on a new connection, None for plain text only."""
        return self._site.tls

    def change(self, site: Site) -> None:
        """Use another site from now on, and end the streams that it does not allow."""
        self._site = site
        self._pictures.recheck()
        self._broadcaster.renew()

    def recheck(self) -> None:
        """End the streams that are not allowed any more: a file or a network has changed."""
        self._pictures.recheck()
        self._broadcaster.renew()

    def _bell_status(self) -> dict[str, Any]:
        targets = {name: each._asdict() for name, each in self._notify_status().items()}
        return {**self._doorbell.status(), "notify": targets}

    def may_send_body(self, head: Head, peer: str) -> bool:
        """Return whether the client with this head may watch."""
        access = self._site.access
        try:
            return access.admits(guard.client(access, head.fields, head.version, peer))
        except (RequestError, RefusedError):  # The answer will say why.
            return False

    def reject(self, status: int) -> Response:
        """Return the answer to a request that was not read."""
        phrase = HTTPStatus(status).phrase
        body = f"{phrase}\n".encode()
        fields = {"Content-Type": TEXT, "Content-Length": str(len(body)), **NO_STORE}
        return Response(status, {**fields, **guard.security()}, body)

    def refuse(self, error: RequestError, peer: str, *, secure: bool) -> Response:
        """Return the answer to a request that cannot be understood."""
        _log_answer(peer, error.line, error.status)
        security = guard.security(hsts=self._site.hsts and secure)
        return _completed(refusal(error.status, str(error)), security)

    def __call__(self, request: Request) -> Response:
        """Answer a request."""
        site, client, embedder, is_let_in = self._site, request.peer, "", False
        password_id, ticket = site.authenticator.password_id, b""
        access = site.access
        try:
            fields = request.headers.fields
            client = guard.client(access, fields, request.version, client)
            ticket = self._ticket(site, request, password_id)
            answers = self._visit_to_answer(site, request)
            is_shared = bool(ticket or answers)
            embedder = guard.let_in(access, request, client, is_shared=is_shared)
            is_let_in = True
            response = self._answer(
                Context(site, request, client, password_id, ticket, embedder, answers)
            )
        except RequestError as error:
            response = refusal(error.status, str(error))
        except RefusedError as error:
            self._refusals.note(client, str(error))
            response = _turned_away(error, request)
        security = guard.security(
            access.embed if is_let_in else (),  # Refused clients do not learn of them.
            embedder,
            hsts=site.hsts and request.secure,
            shared=bool(ticket),
            proxied=is_let_in and access.trusts(request.peer),
        )
        _log_answer(request.peer, request.line, response.status)
        return _completed(response, security)

    def _ticket(self, site: Site, request: Request, password_id: bytes) -> bytes:
        """Return what stands for a good token in the URL: it opens the picture and nothing else."""
        if embedding.PARAMETER not in request.target or request.method not in ("GET", "HEAD"):
            return b""
        try:
            is_shared = _path(request) in self._shared
            token = request.query.get(embedding.PARAMETER, "") if is_shared else ""
        except RequestError:
            return b""  # The request itself is refused later, with the reason.
        return site.embedding.ticket(token, password_id)

    def _visit_to_answer(self, site: Site, request: Request) -> int:
        """Return the id of the visit that a good token in the URL may answer; 0 if there is none.

        It comes from a notification on a phone: from an app, or from the page of another site.
        """
        if request.method != "POST" or ring_token.PARAMETER not in request.target:
            return 0
        try:
            visit = self._visits.to_answer(request.path)
            token = request.query.get(ring_token.PARAMETER, "")
        except RequestError:
            return 0  # The request itself is refused later, with the reason.
        return visit if visit and site.ring_token.check_answer(visit, token) else 0

    def _answer(self, context: Context) -> Response:
        target, site = context.request.target, context.site
        is_certificate = target in assets.OF_THE_AUTHORITY and target in site.assets
        if site.tls is not None and not context.request.secure and not is_certificate:
            return _send_to_tls(context.request)
        path = _path(context.request)
        if is_certificate or path in OPEN_PATHS or path == RING or context.answers:
            return self._route(context, path)
        challenge = self._login.challenge(context)
        if challenge is not None:
            return challenge
        try:
            response = self._route(context, path)
        except RequestError as error:
            response = refusal(error.status, str(error))
        return self._login.renew(context, response)

    def _route(self, context: Context, path: str) -> Response:
        request = context.request
        asset = context.site.assets.get(path)
        shown = self._routes.get(path) or self._visits.route(path)
        form = self._forms.get(path) or self._visits.form(path)
        allowed = ["GET", "HEAD"] * (shown is not None or asset is not None)
        allowed += ["POST"] * (form is not None)
        if path == RING:
            allowed.remove("HEAD")  # It is only for what does nothing.
        if not allowed and request.method != "CONNECT":
            return refusal(HTTPStatus.NOT_FOUND, "not found")
        if request.method not in allowed:
            allowed = allowed or ["GET", "HEAD"]
            why = f"only {' and '.join(allowed)}"
            fields = {"Allow": ", ".join(allowed)}
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, why, fields)
        if request.has_body and (request.method != "POST" or not request.body):
            raise RequestError("a body makes no sense here")
        route = form if request.method == "POST" else shown
        if route is not None:
            return route(context)
        assert asset is not None
        return assets.reply_with(asset, request.headers.get("If-None-Match"))


def _routes_to(pictures: Pictures) -> Mapping[str, Route]:
    """Return the routes that an embed URL may open."""
    return {
        **dict.fromkeys(_addresses(_STREAMS, "stream"), pictures.stream),
        **dict.fromkeys(_addresses(_SNAPSHOTS, "snapshot"), pictures.snapshot),
    }


def _addresses(paths: Sequence[str], action: str) -> list[str]:
    """Return all addresses of a picture, as in :func:`_path`. A slash at the end does no harm."""
    slashed = [f"{path}/" for path in paths]
    actions = [f"{path}?action={action}{input_}" for path in _WITH_ACTION for input_ in ("", "_0")]
    return [*paths, *slashed, *actions]


def _path(request: Request) -> str:
    """Return the path in the tables of routes, where an action belongs to it. Raises RequestError.

    The token of an embed URL is judged by the same path as the route that answers it.
    """
    path, query = request.path, request.query
    has_action = path in _WITH_ACTION and "action" in query
    return f"{path}?action={query['action']}" if has_action else path


def _completed(response: Response, security: Mapping[str, str]) -> Response:
    """Return an answer with the headers that all answers have; its own values win."""
    otherwise = response.otherwise
    return replace(
        response,
        headers={**general(), **security, **response.headers},
        otherwise=otherwise and _completed(otherwise, security),
    )


def _turned_away(error: RefusedError, request: Request) -> Response:
    """Say why a request is refused; as a page if a browser shows it to a person."""
    if error.advice.settings and "text/html" in request.headers.get("Accept"):
        page = error.advice.as_page().encode()
        response = reply(error.status, "text/html; charset=utf-8", page)
    else:
        response = refusal(error.status, str(error))
    return replace(response, close=True)


def _send_to_tls(request: Request) -> Response:
    """Answer a request in plain text where only TLS is served."""
    host = request.headers.get("Host").strip().rstrip(":")
    if ":" not in host.rpartition("]")[2]:
        host += host and ":80"  # It is the same port, though not what https:// alone means.
    if host and request.target.startswith("/") and request.method in ("GET", "HEAD"):
        place = quote(f"{host}/{request.target.lstrip('/')}", punctuation, "latin-1")
        fields = {"Location": f"https://{place}"}
        response = refusal(HTTPStatus.TEMPORARY_REDIRECT, _TLS_ONLY, fields)
    else:
        response = refusal(HTTPStatus.BAD_REQUEST, _TLS_ONLY)
    return replace(response, close=True)


def _log_answer(peer: str, line: str, status: int) -> None:
    """Log with ``-v``; a request line may hold anything, so %r keeps it harmless."""
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s: %r: %d", peer, embedding.without_token(line), status)
