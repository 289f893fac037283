"""Login: the form, and what is answered to a client that has not logged in."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

from doorbelld.access import cookies, embedding
from doorbelld.access.authenticator import WaitError
from doorbelld.server.request import Request, RequestError
from doorbelld.server.response import Response
from doorbelld.system.limited_log import RefusalLog
from doorbelld.web import guard
from doorbelld.web.replies import NO_STORE, redirect, refusal, reply
from doorbelld.web.site import Visit

OPEN_PATHS = ("/login", "/login.css", "/login.js", "/logout", "/healthz")
"""What needs no login."""

_BASIC = 'Basic realm="doorbelld", charset="UTF-8"'
_FORM = 'Cookie realm="doorbelld", form-action="/login", cookie-name="doorbelld"'
"""A challenge that browsers do not know, so that they show our form and no dialog of theirs."""

_FORM_TYPE = "application/x-www-form-urlencoded"
_IN_A_FRAME = ("iframe", "frame", "embed", "object", "fencedframe")
"""What Sec-Fetch-Dest says for a page that does not fill the tab."""

_SAME_ORIGIN = {"Referrer-Policy": "same-origin"}
"""With no-referrer the browser would send the form with Origin: null, like that of another site."""


class Login:
    """Asks for the password and takes it. Wrong ones are written to the log of refusals."""

    def __init__(self, refusals: RefusalLog) -> None:
        self._refusals = refusals

    def challenge(self, visit: Visit) -> Response | None:
        """Return what to answer a client that has not logged in; None if it has, or need not."""
        authenticator, request = visit.site.authenticator, visit.request
        if not authenticator.is_needed or visit.ticket:
            return None
        if authenticator.knows_cookie(_cookies(request)):
            return None
        basic = request.headers.get("Authorization")
        try:
            if authenticator.knows_basic(basic, visit.client):
                return None
        except WaitError as error:
            return refusal(*_to_wait(error))
        if basic:
            self._refusals.note(visit.client, "wrong password")
        return _ask_for_password(request, was_wrong=bool(basic))

    def renew(self, visit: Visit, response: Response) -> Response:
        """Return an answer to a client that has logged in, with a new cookie if it is time."""
        authenticator = visit.site.authenticator
        if not authenticator.is_needed or visit.ticket:
            return response
        return _with_cookie(
            response, authenticator.renewed_cookie(_cookies(visit.request)), visit.request
        )

    def page(self, visit: Visit) -> Response:
        """Show the form, or send a browser that needs no login to the page itself."""
        authenticator = visit.site.authenticator
        if not authenticator.is_needed or authenticator.knows_cookie(_cookies(visit.request)):
            return redirect("/")
        return _form(visit, HTTPStatus.OK, "")

    def log_in(self, visit: Visit) -> Response:
        """Take the form; with the right password the browser gets a cookie."""
        guard.insist_on_our_own_page(visit.embedder)
        authenticator, request = visit.site.authenticator, visit.request
        guess, framed = _guess(request), _is_framed(visit)
        try:
            cookie = authenticator.cookie_for(guess, visit.client, framed=framed)
        except WaitError as error:
            status, why, headers = _to_wait(error)
            return _form(visit, status, f"{why[0].upper()}{why[1:]}.", headers)
        if cookie or not authenticator.is_needed:
            return _with_cookie(redirect("/"), cookie, request)
        self._refusals.note(visit.client, "wrong password")
        challenge = {"WWW-Authenticate": _FORM}
        return _form(visit, HTTPStatus.UNAUTHORIZED, "That is not the password.", challenge)

    def log_out(self, visit: Visit) -> Response:
        """Make the browser forget its cookies."""
        guard.insist_on_our_own_page(visit.embedder)
        secure = _is_secure(visit.request)
        found = [cookies.clearing(secure=secure)]
        if secure:
            found.append(cookies.clearing(secure=True, framed=True))
        return redirect("/login").setting(*found)


def _ask_for_password(request: Request, *, was_wrong: bool) -> Response:
    accept = request.headers.get("Accept")
    if "text/html" in accept and request.method in ("GET", "HEAD") and not was_wrong:
        return redirect("/login")
    # For what a page loads, the browser must not show a dialog of its own.
    of_a_page = any(each in accept for each in ("image/", "text/html", "json"))
    challenge = {"WWW-Authenticate": _FORM if of_a_page else _BASIC}
    why = "the password is needed"
    if f"{embedding.PARAMETER}=" in request.target:
        why += ": the embed URL is wrong or has ended (doorbelld embed-url prints a new one)"
    return refusal(HTTPStatus.UNAUTHORIZED, why, challenge)


def _is_secure(request: Request) -> bool:
    """Return whether the browser uses HTTPS, with us or with a proxy in front.

    Only for forms: the origin of their own page shows it.
    """
    return request.secure or request.headers.get("Origin").startswith("https://")


def _is_framed(visit: Visit) -> bool:
    """Return whether the form is in a frame of another site's page."""
    is_in_a_frame = visit.request.headers.get("Sec-Fetch-Dest") in _IN_A_FRAME
    return is_in_a_frame and bool(visit.site.access.embed) and _is_secure(visit.request)


def _cookies(request: Request) -> str:
    return ";".join(request.headers.get_all("Cookie"))


def _guess(request: Request) -> str:
    try:
        content_type = request.headers.get("Content-Type").partition(";")[0].strip().lower()
        if content_type != _FORM_TYPE:
            raise RequestError("this is not the form")
        (guess,) = parse_qs(request.body.decode("ascii"), strict_parsing=True)["password"]
    except (ValueError, KeyError):
        raise RequestError("this is not the form") from None
    return guess


def _with_cookie(response: Response, cookie: str | None, request: Request) -> Response:
    if not cookie:
        return response
    return response.setting(cookies.setting(cookie, secure=_is_secure(request)))


def _form(
    visit: Visit, status: HTTPStatus, message: str, headers: Mapping[str, str] = {}
) -> Response:
    page = visit.site.assets["/login"]
    body = page.body.replace(b"{{message}}", message.encode())
    return reply(status, page.content_type, body, {**NO_STORE, **_SAME_ORIGIN, **headers})


def _to_wait(error: WaitError) -> tuple[HTTPStatus, str, dict[str, str]]:
    """Return the answer to a client that has to wait: status, reason, headers."""
    headers = {"Retry-After": str(error.seconds)}
    if error.is_busy:
        why = "too many logins at the same time, try again"
        return HTTPStatus.SERVICE_UNAVAILABLE, why, headers
    why = f"too many wrong passwords, try again in {error.seconds} s"
    return HTTPStatus.TOO_MANY_REQUESTS, why, headers
