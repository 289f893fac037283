"""HttpClient: requests one URL of a camera again and again, with redirects and a password.

Anything may answer at that address, so the head of an answer is bounded, and no answer can send
us to another host.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    RemoteDisconnected,
)
from io import BufferedReader
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from doorbelld.drivers import errors
from doorbelld.drivers.authorization import Authorization
from doorbelld.drivers.errors import CameraError, Reason, Why, without_secrets
from doorbelld.net import addresses

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REQUESTS = 5
"""For one answer: the first, and those after redirects, with the password, and with a new nonce."""

_MOST_HEAD = 8 * 1024
"""Bytes before the body, in one answer and any 1xx answers before it. The standard library
accepts 6 MB, and searches a Content-Type in quadratic time."""

_HEADERS = {"User-Agent": "doorbelld", "Accept": "*/*"}

_BODY_ALONE = (b"\xff", b"-", b"C")
"""How a body begins that has no head before it, as in HTTP/0.9: with a picture, a boundary, or
the Content-Type of a part. An answer with a head begins with "HTTP"."""


_TLS_THERE = Why("it speaks TLS there, so its URL must begin with https://", Reason.SETTINGS)
_TLS_ALERT = "\x15\x03"
"""How a server with TLS answers anything else."""

_TLS_PATIENCE = 2.0
"""Seconds to find out whether it is such a server."""


class _Head:
    """Reads the lines of an answer, up to the allowed length of its head."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._left = _MOST_HEAD
        self._is_first = True
        self.has_none = file.peek(1)[:1] in _BODY_ALONE
        self._made_up = [b"HTTP/1.0 200 OK\r\n", b"\r\n"] if self.has_none else []
        self.close = file.close

    def readline(self, size: int) -> bytes:
        """Return the next line. Raises HTTPException if it ends too late."""
        if self._made_up:
            return self._made_up.pop(0)
        line = self._file.readline(min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise HTTPException
        if self._is_first and line.startswith(b"ICY "):  # as Shoutcast, and some cameras
            line = b"HTTP/1.0" + line[3:]
        self._is_first = False
        return line


class Answer(HTTPResponse):
    """An answer with a head of bounded length, or with none at all, which ``has_head`` says."""

    has_head = True

    def begin(self) -> None:
        """Read the head. Raises HTTPException and OSError."""
        file = self.fp
        head = _Head(file)
        self.has_head = not head.has_none
        self.fp = head  # type: ignore[assignment]  # nothing else is read before it ends
        try:
            super().begin()
        finally:
            if self.fp is not None:  # It may have been closed.
                self.fp = file


class HttpClient:
    """One thread asks; ``cut`` and nothing else may be called by others.

    A connection is given up after ``connect_timeout`` seconds, and the head of an answer after
    ``answer_timeout``. The body may take any time.
    """

    def __init__(
        self, url: str, *, verify: bool, connect_timeout: float, answer_timeout: float
    ) -> None:
        self._url = url
        self._name = without_secrets(url)
        self._verify = verify
        self._connect_timeout = connect_timeout
        self._answer_timeout = answer_timeout
        self._authorization = _authorization(url)
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._is_cut = False

    def get(self, headers: Mapping[str, str]) -> Answer:
        """Return the answer with the status 200, or 304 if ``headers`` have a condition.

        Raises CameraError if there is none, which says why.
        """
        try:
            return self._get(headers)
        except CameraError:
            self.hang_up()
            raise
        except Exception as error:
            self.hang_up()
            why = _TLS_THERE if self._expects_tls(error) else errors.explain(error)
            text = f"Cannot get pictures from {self._name}: {why.words}"
            raise CameraError(text, why.reason) from error

    def cut(self) -> None:
        """Cut the connection, wherever the other thread waits for it, and make no other."""
        self._is_cut = True
        if self._socket is not None:
            # Not SSLSocket's shutdown: it drops the TLS state while the other thread still reads.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._socket is not None:
            self._socket.close()

    def _get(self, headers: Mapping[str, str]) -> Answer:
        url, has_shown_password = self._url, False
        for _ in range(_MOST_REQUESTS):
            answer = self._request(url, headers)
            if answer.status == 200 or (answer.status == 304 and headers):
                return answer
            with answer:
                if answer.status in _REDIRECTS:
                    url = self._follow(url, answer.getheader("Location", ""))
                elif answer.status == 401 and self._authorize(answer, has_shown_password):
                    has_shown_password = True
                else:
                    break
            self.hang_up()  # The body of this answer does not matter.
        said, reason = errors.explain_status(answer.status)
        if answer.status in _REDIRECTS:
            said, reason = "redirects from one path to the next without end", Reason.SETTINGS
        elif answer.status == 400 and self._has_tls:
            said, reason = f"{said}: {_TLS_THERE.words}", _TLS_THERE.reason
        raise CameraError(f"{self._name} {said}", reason)

    def _authorize(self, answer: Answer, has_shown_password: bool) -> bool:
        """Show the password from now on; return False if that was of no use before."""
        if self._authorization is None:
            words, reason = errors.NO_PASSWORD
            raise CameraError(f"{self._name} {words}", reason)
        self._authorization.choose(answer.headers.get_all("WWW-Authenticate", []))
        return self._authorization.is_stale or not has_shown_password

    def _request(self, url: str, more: Mapping[str, str]) -> Answer:
        """Send one request, on the open connection if it still works."""
        parts = urlsplit(url)
        path = addresses.request_target(parts)
        headers = {**_HEADERS, **more}
        if self._authorization is not None:
            headers.update(self._authorization.headers("GET", path))
        if self._connection is not None and self._connection.sock is not None:
            try:
                return self._send(self._connection, path, headers)
            except socket.timeout:
                raise
            except (OSError, HTTPException):
                pass  # The camera has closed it since.
        self.hang_up()
        self._connection = self._connect(parts)
        return self._send(self._connection, path, headers)

    def _send(self, connection: HTTPConnection, path: str, headers: dict[str, str]) -> Answer:
        sock = connection.sock
        sock.settimeout(self._answer_timeout)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert isinstance(answer, Answer)
        sock.settimeout(None)
        return answer

    def _connect(self, parts: SplitResult) -> HTTPConnection:
        address, port = _address(parts)
        sock = self._keep(socket.create_connection((address, port), self._connect_timeout))
        host = address.partition("%")[0]  # The interface means nothing to the camera.
        connection = HTTPConnection(host, port)
        if parts.scheme == "https":
            context = self._tls_context
            connection = HTTPSConnection(host, port, context=context)
            # The handshake comes later, when cut() knows the socket.
            secured = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            sock = self._keep(secured)
            secured.do_handshake()
        connection.response_class = Answer
        connection.sock = sock
        connection.auto_open = 0  # Only this method makes a new connection.
        return connection

    @cached_property
    def _tls_context(self) -> ssl.SSLContext:
        # Once: it takes 20 ms, and a camera may need a new connection for each picture.
        context = ssl.create_default_context()
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _keep(self, sock: socket.socket) -> socket.socket:
        """Remember this socket, for cut() to cut it."""
        self._socket = sock
        if self._is_cut:
            raise CameraError(f"{self._name} was closed", Reason.OTHER)
        return sock

    def _follow(self, url: str, location: str) -> str:
        """Return the target of a redirect. Raises CameraError if that is another host."""
        try:
            target = urljoin(url, location)
            if _place(target) == _place(url):
                return target
        except ValueError as error:
            text = f"{self._name} redirects to something that is not a URL"
            raise CameraError(text, Reason.SETTINGS) from error
        raise CameraError(
            f"{self._name} redirects to {_printable_place(target)}, which is not followed;"
            " if that is the camera, set it as the source",
            Reason.SETTINGS,
        )

    def _expects_tls(self, error: Exception) -> bool:
        """Return whether this happened because the camera speaks TLS on an http port."""
        if isinstance(error, (RemoteDisconnected, ConnectionResetError)):
            return self._has_tls
        return isinstance(error, BadStatusLine) and _TLS_ALERT in str(error)

    @cached_property
    def _has_tls(self) -> bool:
        parts = urlsplit(self._url)
        if parts.scheme != "http" or self._is_cut:
            return False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with suppress(OSError, ValueError, CameraError):
            plain = self._keep(socket.create_connection(_address(parts), _TLS_PATIENCE))
            with context.wrap_socket(plain, do_handshake_on_connect=False) as sock:
                self._keep(sock)
                sock.do_handshake()
                return True
        return False


def _port(parts: SplitResult) -> int:
    """Return the port of a URL, the usual one if it has none. Raises ValueError."""
    return parts.port or {"http": 80, "https": 443, "rtsp": 554}.get(parts.scheme, 0)


def _address(parts: SplitResult) -> tuple[str, int]:
    """Return where to connect. Raises ValueError.

    The interface of a link-local address may be written as in RFC 6874, with %25 before its name.
    """
    host = parts.hostname or ""
    return host.replace("%25", "%", 1) if ":" in host else host, _port(parts)


def _printable_place(url: str) -> str:
    """Return where a URL from outside leads, without secrets and in harmless characters."""
    return re.sub(r"[^\w.:/\[\]-]", "?", without_secrets(url), flags=re.ASCII)[:100]


def _place(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, _port(parts)


def _authorization(url: str) -> Authorization | None:
    parts = urlsplit(url)
    if parts.username is None:
        return None
    return Authorization(unquote(parts.username), unquote(parts.password or ""))
