"""Doorstep: what is answered to who has not shown the password, and where it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

from doorbelld.access import cookies, embedding
from doorbelld.access.authenticator import WaitError
from doorbelld.media import multipart
from doorbelld.web.exchange import NO_STORE, Exchange
from doorbelld.web.gate import BadRequestError, StrangerError

OPEN_PATHS = ("/login", "/login.css", "/login.js", "/logout", "/healthz")
"""What is there for everybody."""

_BASIC = 'Basic realm="doorbelld", charset="UTF-8"'
_FORM = 'Cookie realm="doorbelld", form-action="/login", cookie-name="doorbelld"'
"""A challenge that browsers do not know, so that they show our form and no dialog of theirs."""

_FORM_TYPE = "application/x-www-form-urlencoded"
_IN_A_FRAME = ("iframe", "frame", "embed", "object", "fencedframe")
"""What Sec-Fetch-Dest says of a page that is not the one of the whole tab."""

_SAME_ORIGIN = {"Referrer-Policy": "same-origin"}
"""With no-referrer the form would come from nowhere (Origin: null), like one of another site."""


class Doorstep(Exchange):
    """An exchange that may have to ask for the password first.

    ``_password_id`` is that of the password by which somebody was let in.
    """

    _password_id = b""

    def _is_known(self) -> bool:
        """Tell whether the password was shown or there is none; if not, this is answered."""
        authenticator, told = self.server.authenticator, self._cookies()
        self._password_id = authenticator.password_id
        if not authenticator.is_needed or self._ticket:
            return True
        if authenticator.knows_cookie(told):
            self._keep(authenticator.renewed_cookie(told))
            return True
        basic = self.headers.get("Authorization", "")
        try:
            if authenticator.knows_basic(basic, self.client):
                return True
        except WaitError as error:
            self._refuse(*_to_wait(error))
        else:
            self._ask_for_password(was_wrong=bool(basic))
        return False

    def _ask_for_password(self, *, was_wrong: bool) -> None:
        accept = self.headers.get("Accept", "")
        if was_wrong:
            self.server.refusals.note(self.client, "wrong password")
        elif "text/html" in accept and self.command in ("GET", "HEAD"):
            self._send_on("/login")
            return
        # What a page asks for must not make the browser ask in its own way.
        of_a_page = multipart.wants_advance(accept) or "json" in accept
        challenge = {"WWW-Authenticate": _FORM if of_a_page else _BASIC}
        why = "the password is needed"
        if f"{embedding.PARAMETER}=" in self.path:
            why += ": the embed URL is wrong or has ended (doorbelld embed-url prints a new one)"
        self._refuse(HTTPStatus.UNAUTHORIZED, why, challenge)

    def login_page(self) -> None:
        """Show the form, or the page itself to who needs none."""
        authenticator = self.server.authenticator
        if not authenticator.is_needed or authenticator.knows_cookie(self._cookies()):
            self._send_on("/")
        else:
            self._form(HTTPStatus.OK, "")

    def log_in(self) -> None:
        """Take the form; a browser that has shown the password gets a cookie."""
        self._insist_on_our_own_page()
        guess = self._guess()
        framed = self._is_framed()
        try:
            cookie = self.server.authenticator.cookie_for(guess, self.client, framed=framed)
        except WaitError as error:
            status, why, headers = _to_wait(error)
            self._form(status, f"{why[0].upper()}{why[1:]}.", headers)
            return
        if cookie or not self.server.authenticator.is_needed:
            self._keep(cookie)
            self._send_on("/")
        else:
            self.server.refusals.note(self.client, "wrong password")
            challenge = {"WWW-Authenticate": _FORM}
            self._form(HTTPStatus.UNAUTHORIZED, "That is not the password.", challenge)

    def log_out(self) -> None:
        """Let the browser forget its cookies."""
        self._insist_on_our_own_page()
        secure = self._is_secure()
        self.new_cookies.append(cookies.clearing(secure=secure))
        if secure:
            self.new_cookies.append(cookies.clearing(secure=True, framed=True))
        self._send_on("/login")

    def _insist_on_our_own_page(self) -> None:
        """Raise a StrangerError if a form comes from a page that may only show the picture."""
        if self._embedder:
            raise StrangerError(HTTPStatus.FORBIDDEN, "another web site asks for this")

    def _is_secure(self) -> bool:
        """Return whether the browser speaks HTTPS, if not with us, then with a proxy in front.

        Only for forms: the origin of their own page shows it.
        """
        return self.connection_.secure or self.headers.get("Origin", "").startswith("https://")

    def _is_framed(self) -> bool:
        """Return whether the form is in a frame of another site's page."""
        is_in_a_frame = self.headers.get("Sec-Fetch-Dest", "") in _IN_A_FRAME
        return is_in_a_frame and bool(self._embed) and self._is_secure()

    def _cookies(self) -> str:
        return ";".join(self.headers.get_all("Cookie", []))

    def _guess(self) -> str:
        try:
            if self.headers.get_content_type() != _FORM_TYPE:
                raise BadRequestError("this is not the form")
            (guess,) = parse_qs(self.body.decode("ascii"), strict_parsing=True)["password"]
        except (ValueError, KeyError):
            raise BadRequestError("this is not the form") from None
        return guess

    def _keep(self, cookie: str | None) -> None:
        if cookie:
            self.new_cookies.append(cookies.setting(cookie, secure=self._is_secure()))

    def _send_on(self, path: str) -> None:
        self._reply(HTTPStatus.SEE_OTHER, "text/plain", b"", {"Location": path, **NO_STORE})

    def _form(self, status: HTTPStatus, message: str, headers: Mapping[str, str] = {}) -> None:
        page = self.server.assets["/login"]
        body = page.body.replace(b"{{message}}", message.encode())
        self._reply(status, page.content_type, body, {**NO_STORE, **_SAME_ORIGIN, **headers})


def _to_wait(error: WaitError) -> tuple[HTTPStatus, str, dict[str, str]]:
    """Return the answer to who has to wait: status, reason, headers."""
    headers = {"Retry-After": str(error.seconds)}
    if error.is_busy:
        return HTTPStatus.SERVICE_UNAVAILABLE, "others are at the door, try again", headers
    why = f"too many wrong passwords, try again in {error.seconds} s"
    return HTTPStatus.TOO_MANY_REQUESTS, why, headers
