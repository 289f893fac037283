"""The ``http://`` source: a network camera that sends JPEGs, as a stream or one at a time.

Its pictures are passed on as they are, without OpenCV. Anything may answer at that address, so
every read is bounded, and no answer can send us to another host.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BufferedReader
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from doorbelld.camera.base import CameraSettings, Shot
from doorbelld.camera.closing import Receiver
from doorbelld.drivers.errors import CameraError, describe, without_secrets
from doorbelld.media import jpeg
from doorbelld.system.limited_log import OncePerMinute

logger = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_MOST_WITHOUT_PICTURE = 2 * jpeg.LARGEST
"""Bytes. A server that sends more without a picture in between is not a camera."""

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REQUESTS = 5
"""For one answer: the first, three redirects, and one more with the password."""

_MOST_HEAD = 8 * 1024
"""Bytes before the body, in one answer and any 1xx answers before it. The standard library
accepts 6 MB, and searches a Content-Type in quadratic time."""

_FASTEST_STILLS = 5.0
"""Pictures a second. Cameras that send one picture at a time are slow."""

_HEADERS = {"User-Agent": "doorbelld", "Accept": "*/*"}
_SAFE = "%/:=&~+!$,;'@()*[]|?"
"""Characters that need not be quoted in a path or query."""

_PICTURES = re.compile(
    r"multipart/.*|image/p?jpe?g|video/(x-)?(motion-)?m?jpe?g|application/octet-stream|"
)
_PLAYLIST = re.compile(r".*mpegurl|application/(dash\+xml|sdp)|.*scpls|video/x-ms-asf")
_HARMLESS = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,60}", re.ASCII)

_FAULTS = {
    401: "refuses the user name or the password",
    403: "refuses us (status 403)",
    404: "has nothing at this path (status 404)",
    503: "is busy (status 503)",
}
_NO_PASSWORD = (
    "asks for a user name and a password; the source must be ...://USER:PASSWORD@HOST/..."
)
_WEB_PAGE = "has a web page at this path; the path of the picture itself is needed"
_NO_PLAYLISTS = "has a playlist at this path; playlists are not followed"

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "its name is not found"),
    (ConnectionRefusedError, "nothing listens there"),
    (socket.timeout, "it does not answer"),
    (ssl.SSLError, "it does not speak TLS"),
    (HTTPException, "it does not speak HTTP"),
    (ConnectionError, "it does not speak HTTP"),
    (ValueError, "its URL, or what it answers, makes no sense"),
)

_may_warn = OncePerMinute()
"""For the whole process: a camera that is lost every second is opened again as often."""


class _Head:
    """Reads the lines of an answer, up to the allowed length of its head."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._left = _MOST_HEAD
        self.close = file.close

    def readline(self, size: int) -> bytes:
        """Return the next line. Raises HTTPException if it ends too late."""
        line = self._file.readline(min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise HTTPException
        return line


class _Answer(HTTPResponse):
    """An answer with a head of bounded length."""

    def begin(self) -> None:
        """Read the head. Raises HTTPException and OSError."""
        file = self.fp
        self.fp = _Head(file)  # type: ignore[assignment]  # nothing else is read before it ends
        try:
            super().begin()
        finally:
            if self.fp is not None:  # It may have been closed.
                self.fp = file


class HttpCamera:
    """Reads MJPEG streams and still pictures. Its name is scheme, host and port alone.

    A thread of its own reads all the time, and only the newest picture is kept. The caller decides
    how long the camera may be silent: ``close`` cuts the connection wherever the thread waits.
    """

    def __init__(self, url: str, settings: CameraSettings) -> None:
        self.name = without_secrets(url)
        self.mode = ""
        self._url = url
        self._settings = settings
        self._authorization: Callable[[str], str] | None = None
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._splitter = jpeg.Splitter()
        self._has_no_memory = False
        self._receiver: Receiver[Shot] = Receiver(self.name, self._receive)

    @property
    def invalid(self) -> int:
        """How many pictures in the stream were incomplete."""
        return self._splitter.invalid

    def open(self) -> None:
        """Start connecting; wait a second for the first picture.

        Raises CameraError if it fails in that time, otherwise read() does.
        """
        is_unverified = self._url.startswith("https:") and not self._settings.verify
        if is_unverified and _may_warn.is_due():
            logger.warning("%s: its certificate is not checked ([camera] verify = no)", self.name)
        self._receiver.start()

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if none came within ``timeout`` seconds."""
        if self._has_no_memory:
            self._has_no_memory = False
            raise MemoryError
        return self._receiver.take(timeout)

    def close(self) -> None:
        """Cut the connection; the thread ends with it."""
        self._receiver.closing.set()
        if self._socket is not None:
            # Not SSLSocket's shutdown: it drops the TLS state while the other thread still reads.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._receiver.stop()

    # In the thread.

    def _receive(self) -> None:
        interval = 1 / min(self._settings.framerate, _FASTEST_STILLS)
        closing = self._receiver.closing
        try:
            while not closing.is_set():
                asked_at = time.monotonic()
                with self._ask() as answer:
                    self._take(answer)
                closing.wait(max(asked_at + interval - time.monotonic(), 0))
        except CameraError:
            raise
        except Exception as error:
            said = f"Cannot get pictures from {self.name}: {_explain(error)}"
            raise CameraError(said) from error
        finally:
            self._hang_up()

    def _ask(self) -> HTTPResponse:
        """Return the answer with the pictures, after redirects and a password."""
        url, has_shown_password = self._url, False
        for _ in range(_MOST_REQUESTS):
            answer = self._request(url)
            if answer.status == 200:
                return answer
            with answer:
                if answer.status in _REDIRECTS:
                    url = self._follow(url, answer.getheader("Location", ""))
                elif answer.status == 401 and not has_shown_password:
                    self._authorize(answer.headers.get_all("WWW-Authenticate", []))
                    has_shown_password = True
                else:
                    said = _FAULTS.get(answer.status, f"answers with the status {answer.status}")
                    raise CameraError(f"{self.name} {said}")
            self._hang_up()  # The body of this answer does not matter.
        raise CameraError(f"{self.name} redirects from one path to the next without end")

    def _request(self, url: str) -> HTTPResponse:
        """Send one request, on the open connection if it still works."""
        parts = urlsplit(url)
        path = quote(parts.path or "/", _SAFE)
        if parts.query:
            path += f"?{quote(parts.query, _SAFE)}"
        headers = dict(_HEADERS)
        if self._authorization is not None:
            headers["Authorization"] = self._authorization(
                f"{parts.scheme}://{parts.hostname}{path}"
            )
        if self._connection is not None and self._connection.sock is not None:
            with suppress(OSError, HTTPException):
                self._connection.request("GET", path, headers=headers)
                return self._connection.getresponse()
        self._hang_up()
        self._connection = self._connect(parts)
        self._connection.request("GET", path, headers=headers)
        return self._connection.getresponse()

    def _connect(self, parts: SplitResult) -> HTTPConnection:
        host, port = parts.hostname or "", _port(parts)
        sock = self._keep(socket.create_connection((host, port), self._settings.stall_timeout))
        connection = HTTPConnection(host, port)
        if parts.scheme == "https":
            context = self._tls_context
            connection = HTTPSConnection(host, port, context=context)
            # The handshake comes later, when close() knows the socket.
            secured = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            sock = self._keep(secured)
            secured.do_handshake()
        sock.settimeout(None)
        connection.response_class = _Answer
        connection.sock = sock
        connection.auto_open = 0  # Only this method makes a new connection.
        return connection

    @cached_property
    def _tls_context(self) -> ssl.SSLContext:
        # Once: it takes 20 ms, and a camera may need a new connection for each picture.
        context = ssl.create_default_context()
        if not self._settings.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _keep(self, sock: socket.socket) -> socket.socket:
        """Remember this socket, for close() to cut it."""
        self._socket = sock
        if self._receiver.closing.is_set():
            raise CameraError(f"{self.name} was closed")
        return sock

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._socket is not None:
            self._socket.close()

    def _follow(self, url: str, location: str) -> str:
        """Return the target of a redirect. Raises CameraError if that is another host."""
        try:
            target = urljoin(url, location)
            if _place(target) == _place(url):
                return target
        except ValueError as error:
            raise CameraError(f"{self.name} redirects to something that is not a URL") from error
        place = re.sub(r"[^\w.:/\[\]-]", "?", without_secrets(target), flags=re.ASCII)[:100]
        raise CameraError(
            f"{self.name} redirects to {place}, which is not followed;"
            " if that is the camera, set it as the source"
        )

    def _authorize(self, challenges: list[str]) -> None:
        """From now on send the URL's user and password, by the method that the camera wants."""
        parts = urlsplit(self._url)
        if parts.username is None:
            raise CameraError(f"{self.name} {_NO_PASSWORD}")
        user, password = unquote(parts.username), unquote(parts.password or "")
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() == "digest":
                self._authorization = _digest(rest, user, password)
                return
        basic = b64encode(f"{user}:{password}".encode()).decode()
        self._authorization = lambda _: f"Basic {basic}"

    def _take(self, answer: HTTPResponse) -> None:
        """Take the pictures of one answer, until it ends.

        Raises CameraError at its end, unless it was a single picture, to be requested again.
        """
        kind = answer.getheader("Content-Type", "").partition(";")[0].strip().lower()
        taken = unused = 0
        left = answer.length or 0
        data = self._more(answer)
        self._check(kind, data)
        while data:
            pictures = self._cut(data)
            unused += len(data)
            left -= len(data)
            if pictures:
                self._receiver.put(Shot(pictures[-1], time.monotonic()))
                self._receiver.opened()
                taken, unused = taken + len(pictures), 0
            elif unused > _MOST_WITHOUT_PICTURE:
                raise CameraError(f"{self.name} has sent {unused // 2**20} MB without a picture")
            data = self._more(answer)
        # The last picture may lack only its end marker, if the connection was not cut.
        for piece in self._splitter.end() if left <= 0 else ():
            self._receiver.put(Shot(piece.picture, time.monotonic()))
            self._receiver.opened()
            taken += 1
        if taken == 0 and not kind.startswith("multipart/"):
            raise CameraError(f"{self.name} has sent no complete JPEG picture")
        if taken != 1 or kind.startswith("multipart/"):
            raise CameraError(f"{self.name} has stopped sending pictures")

    def _more(self, answer: HTTPResponse) -> bytes:
        """Return the next bytes of an answer; b"" when it has ended, or was cut off."""
        try:
            return answer.read1(_CHUNK)
        except (OSError, HTTPException, ValueError):
            return b""

    def _check(self, kind: str, data: bytes) -> None:
        """Raise CameraError if this is not a camera; ``data`` is the start of the answer."""
        if data.startswith(b"\xff\xd8\xff"):
            return  # A JPEG, whatever its Content-Type is.
        if _PLAYLIST.fullmatch(kind) or data.startswith(b"#EXTM3U"):
            raise CameraError(f"{self.name} {_NO_PLAYLISTS}")
        if kind == "text/html":
            raise CameraError(f"{self.name} {_WEB_PAGE}")
        if not _PICTURES.fullmatch(kind):
            what = kind if _HARMLESS.fullmatch(kind) else "something else"
            raise CameraError(f"{self.name} sends {what}; only JPEG pictures are taken")

    def _cut(self, data: bytes) -> list[bytes]:
        try:
            return self._splitter.feed(data)
        except MemoryError:
            # Some data is lost: the halves of two pictures must not become one.
            self._splitter.forget()
            self._has_no_memory = True
            return []


def _port(parts: SplitResult) -> int:
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)


def _place(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, _port(parts)


def _digest(challenge: str, user: str, password: str) -> Callable[[str], str]:
    """Return a function from a URL to its Authorization header for this Digest challenge.

    Both raise ValueError if the challenge cannot be answered.
    """
    from urllib import error, request  # Few cameras need it.

    passwords = request.HTTPPasswordMgrWithDefaultRealm()
    handler = request.AbstractDigestAuthHandler(passwords)
    try:
        asked = request.parse_keqv_list(list(filter(None, request.parse_http_list(challenge))))
    except IndexError as fault:
        raise ValueError("a Digest challenge with an empty value") from fault

    def authorization(url: str) -> str:
        passwords.add_password(None, url, user, password)
        try:
            return f"Digest {handler.get_authorization(request.Request(url), asked)}"  # noqa: S310
        except error.URLError as fault:
            raise ValueError("a Digest challenge of an unknown kind") from fault

    return authorization


def _explain(error: Exception) -> str:
    """Return in a few words why there is no connection, or no answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return f"its certificate is not trusted ({why}); verify = no plays it unchecked"
    for kind, text in _REASONS:
        if isinstance(error, kind):
            return text
    return getattr(error, "strerror", None) or describe(error)
