"""Login: the form, and what is answered to a client that has not logged in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qs

from doorbelld.access import cookies, embedding
from doorbelld.access.authenticator import WaitError
from doorbelld.server.replies import NO_STORE, address_of, redirect, refusal, reply
from doorbelld.server.request import Request, RequestError
from doorbelld.server.response import Response
from doorbelld.system.limited_log import RefusalLog
from doorbelld.web import guard
from doorbelld.web.site import Context

OPEN_PATHS = ("/login", "/login.css", "/login.js", "/logout", "/healthz")
"""What needs no login."""

RING = "/ring"
"""What needs a token of its own, or the login: see bell.py."""

_BASIC = 'Basic realm="doorbelld", charset="UTF-8"'
_FORM = 'Cookie realm="doorbelld", form-action="{}", cookie-name="doorbelld"'
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

    def challenge(self, context: Context) -> Response | None:
        """Return what to answer a client that has not logged in; None if it has, or need not."""
        authenticator, request = context.site.authenticator, context.request
        if not authenticator.is_needed or context.ticket:
            return None
        if authenticator.knows_cookie(_cookies(request)):
            return None
        basic = request.headers.get("Authorization")
        try:
            if authenticator.knows_basic(basic, context.client):
                return None
        except WaitError as error:
            return refusal(*_to_wait(error))
        if basic:
            self._refusals.note(context.client, "wrong password")
        return _ask_for_password(request, was_wrong=bool(basic))

    def has_cookie(self, context: Context) -> bool:
        """Return whether the client has logged in, in its browser."""
        return context.site.authenticator.knows_cookie(_cookies(context.request))

    def renew(self, context: Context, response: Response) -> Response:
        """Return an answer to a client that has logged in, with a new cookie if it is time."""
        authenticator = context.site.authenticator
        if not authenticator.is_needed or context.ticket:
            return response
        if not _cookie_path(context) and context.request.path.rfind("/") > 0:
            return response  # The browser would keep it for the folder in our path alone.
        return _with_cookie(
            response, authenticator.renewed_cookie(_cookies(context.request)), context
        )

    def page(self, context: Context) -> Response:
        """Show the form, or send a browser that needs no login to the page itself."""
        authenticator = context.site.authenticator
        if not authenticator.is_needed or authenticator.knows_cookie(_cookies(context.request)):
            return redirect(context.request, "")
        return _form(context, HTTPStatus.OK, "")

    def log_in(self, context: Context) -> Response:
        """Take the form; with the right password the browser gets a cookie."""
        guard.insist_on_our_own_page(context.embedder)
        authenticator, request = context.site.authenticator, context.request
        guess, framed = _guess(request), _is_framed(context)
        try:
            cookie = authenticator.cookie_for(guess, context.client, framed=framed)
        except WaitError as error:
            status, why, headers = _to_wait(error)
            return _form(context, status, f"{why[0].upper()}{why[1:]}.", headers)
        if cookie or not authenticator.is_needed:
            return _with_cookie(redirect(request, ""), cookie, context)
        self._refusals.note(context.client, "wrong password")
        challenge = {"WWW-Authenticate": _FORM.format(address_of("login", request))}
        return _form(context, HTTPStatus.UNAUTHORIZED, "That is not the password.", challenge)

    def log_out(self, context: Context) -> Response:
        """Make the browser forget its cookies."""
        guard.insist_on_our_own_page(context.embedder)
        request, path = context.request, _cookie_path(context)
        secure, sent = _is_secure(request), _cookies(request)
        # The one that the browser has comes last: Home Assistant passes on only the last.
        kinds = sorted([False, True] if secure else [False], key=partial(cookies.is_in, sent))
        found = (cookies.clearing(secure=secure, framed=framed, path=path) for framed in kinds)
        return redirect(request, "login").setting(*found)


def _ask_for_password(request: Request, *, was_wrong: bool) -> Response:
    accept = request.headers.get("Accept")
    if "text/html" in accept and request.method in ("GET", "HEAD") and not was_wrong:
        return redirect(request, "login")
    # For what a page loads, the browser must not show a dialog of its own.
    of_a_page = any(each in accept for each in ("image/", "text/html", "json"))
    form = _FORM.format(address_of("login", request))
    challenge = {"WWW-Authenticate": form if of_a_page else _BASIC}
    why = "the password is needed"
    if f"{embedding.PARAMETER}=" in request.target:
        why += ": the embed URL is wrong or has ended (doorbelld embed-url prints a new one)"
    return refusal(HTTPStatus.UNAUTHORIZED, why, challenge)


def _is_secure(request: Request) -> bool:
    """Return whether the browser uses HTTPS, with us or with a proxy in front.

    Only for forms: the origin of their own page shows it.
    """
    return request.secure or request.headers.get("Origin").startswith("https://")


def _is_framed(context: Context) -> bool:
    """Return whether the form is in a frame of another site's page."""
    is_in_a_frame = context.request.headers.get("Sec-Fetch-Dest") in _IN_A_FRAME
    return is_in_a_frame and bool(context.site.access.embed) and _is_secure(context.request)


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


def _with_cookie(response: Response, cookie: str | None, context: Context) -> Response:
    if not cookie:
        return response
    secure, path = _is_secure(context.request), _cookie_path(context)
    return response.setting(cookies.setting(cookie, secure=secure, path=path))


def _cookie_path(context: Context) -> str:
    """Return the path for which the browser keeps our cookie; "" for the folder of its own URL.

    Only the browser knows under which path a proxy serves us. Other programs at the same host name
    do not get the cookie then, and a second doorbell there does not replace it by its own.
    """
    return "" if context.site.access.trusts(context.request.peer) else "/"


def _form(
    context: Context, status: HTTPStatus, message: str, headers: Mapping[str, str] = {}
) -> Response:
    page = context.site.assets["/login"]
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
