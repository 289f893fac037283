"""Push: one HTTP request to a server that passes a message on, or a sentence that says why not.

Anything may answer there, at any pace, so the time and the bytes of an answer are bounded as a
whole. No redirect is followed: it could lead a secret to another server.

A request has all the time that there is, and TCP repeats what gets lost: to a server that is slow,
or behind a slow line, a second one would ring the phone again.
"""

from __future__ import annotations

import errno
import io
import re
import socket
import ssl
import struct
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    RemoteDisconnected,
)
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from doorbelld.net import addresses, tls

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CONNECT_TIMEOUT = 4.0
"""Seconds for each address of the server."""

_HANDSHAKE_TIMEOUT = 10.0
"""Seconds for that of TLS."""

_MOST_ADDRESSES = 8
"""Addresses of a server that are tried."""

_MOST_BODY = 4 * 1024
"""Bytes of the body of a refusal, which may explain it."""

_MOST_ANSWER = 8 * 1024 + _MOST_BODY
"""Bytes of an answer, with its head and any 1xx answers before it. The standard library accepts
6 MB, and searches a Content-Type in quadratic time."""

_ABORT = struct.pack("ii", 1, 0)
"""For SO_LINGER: what was not sent must not be sent later by the kernel, long after the press."""

_PIECE = 16 * 1024
"""Bytes that are sent at once, as in one record of TLS."""

_FILTERED = (
    "may not be reached from here: a filter forbids it; if it is the unit's, run"
    " sudo systemctl set-property doorbelld IPAddressAllow={address}"
)
_SLOW = "accepts the connection, and then does not answer in time; its log may say why"
_SILENT = (
    "does not answer; check that it runs, and that no firewall is in between (for a filter of the"
    " unit, run sudo systemctl set-property doorbelld IPAddressAllow={address})"
)
_BY_NUMBER = {
    errno.EPERM: _FILTERED,
    errno.EACCES: _FILTERED,
    errno.ETIMEDOUT: _SILENT,
    errno.EHOSTUNREACH: "has an address that nothing in the network has; check that it is on",
    errno.ENETUNREACH: "is in a network that this machine does not reach; check: ip route",
}
_NO_NAME = "has a name that is not found; check the URL, and on this machine: getent hosts {host}"
_NO_NAME_SERVER = (
    "has a name that no name server resolves now; check this machine's network, and that a filter"
    " of the unit (IPAddressDeny=) lets it ask its name server"
)
_CLOSES = "closes the connection without an answer; its log may say why"
_BY_KIND: tuple[tuple[type[Exception], str], ...] = (
    (socket.timeout, _SILENT),
    (ConnectionRefusedError, "does not listen at that port; check that it runs, and the port"),
    (ConnectionError, _CLOSES),
    (HTTPException, "does not speak HTTP there; check the URL"),
)
_TLS_THERE = "speaks TLS there, so its URL must begin with https://"
_TLS_ALERT = "\x15\x03"
"""How a server with TLS answers anything else."""

_TLS_WORD = b"HTTPS"
"""What servers that explain it say then, with the status 400: Go (ntfy, Caddy), nginx, Apache."""


class PushError(Exception):
    """The server does not have the message; the sentence, without full stop, says why.

    ``retry`` is whether it may work later. ``status`` and ``body`` are those of the answer, 0 and
    b"" if there was none.
    """

    def __init__(self, sentence: str, *, retry: bool, status: int = 0, body: bytes = b"") -> None:
        super().__init__(sentence)
        self.retry = retry
        self.status = status
        self.body = body

    def with_help(self, words: str) -> PushError:
        """Return the same with a longer sentence."""
        return PushError(f"{self}: {words}", retry=self.retry, status=self.status, body=self.body)


class _Refusal(NamedTuple):
    """An answer that is no success. ``location`` is where it redirects to, if it does."""

    status: int
    body: bytes
    location: str


class Push:
    """Sends requests to one URL, from one thread; ``cut`` may be called by others."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._is_secure = self._url.scheme == "https"
        self._host = self._url.hostname or ""
        self._port = self._url.port or (443 if self._is_secure else 80)
        self._address = ""
        self._is_connected = False
        self._socket: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None
        self._is_cut = False
        self.place = self._url.netloc.rpartition("@")[2]
        """The server, without what may be a secret, which is all else in the URL."""

    def send(self, method: str, headers: Mapping[str, str], body: bytes, seconds: float) -> None:
        """Send a request, in at most so many seconds. Raises PushError unless it succeeds."""
        try:
            refusal = self._exchange(method, headers, body, seconds)
        except Exception as error:  # noqa: BLE001  # whatever it was, the caller says it
            # Not "from error": its text may have what was sent.
            raise self._failure(error) from None
        if refusal is not None:
            words = f"answers with the status {refusal.status}"
            if refusal.location:
                words = f"redirects to {_place(refusal.location)}; if that is it, use it as the URL"
            if refusal.status == 400 and not self._is_secure and _TLS_WORD in refusal.body:
                raise PushError(f"{self.place} {_TLS_THERE}", retry=False)
            raise PushError(
                f"{self.place} {words}",
                retry=refusal.status == 429 or refusal.status >= 500,
                status=refusal.status,
                body=refusal.body,
            )

    def probe(self, seconds: float) -> None:
        """Connect, with TLS if the URL has it, and ask for nothing. Raises PushError."""
        try:
            sock, deadline = self._connect(seconds)
            try:
                sock = self._encrypt(sock, deadline) if self._is_secure else sock
            finally:
                sock.close()
        except OSError as error:
            raise self._failure(error) from None

    def cut(self) -> None:
        """Cut the connection, wherever the other thread waits for it, and make no other."""
        self._is_cut = True
        if self._socket is not None:
            # Not SSLSocket's shutdown: it drops the TLS state while the other thread still reads.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _exchange(
        self, method: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> _Refusal | None:
        sock, deadline = self._connect(seconds)
        is_answered = False
        try:
            if self._is_secure:
                sock = self._encrypt(sock, deadline)
            answer = self._request(sock, deadline, method, headers, body)
            with answer:
                is_answered = True
                if 200 <= answer.status < 300:
                    return None
                is_redirect = 300 <= answer.status < 400
                location = answer.getheader("Location", "") if is_redirect else ""
                return _Refusal(answer.status, _begin_of(answer), location)
        finally:
            if not (is_answered or self._is_cut):
                with suppress(OSError):  # _encrypt() has closed it.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            sock.close()

    def _connect(self, seconds: float) -> tuple[socket.socket, _Deadline]:
        """Return a connection to the first of the server's addresses that answers."""
        self._address, self._is_connected = self._host, False
        name = self._host.encode("ascii")  # As bytes: see addresses.encoded().
        deadline = _Deadline(seconds)
        found = socket.getaddrinfo(name, self._port, type=socket.SOCK_STREAM)
        if deadline.is_over:  # A resolver may take half a minute, and nothing ends it.
            raise socket.gaierror(socket.EAI_AGAIN, "")
        failed, failed_at = OSError(errno.ENETUNREACH, ""), self._host
        for family, kind, protocol, _, address in found[:_MOST_ADDRESSES]:
            self._address = str(address[0])
            sock = self._keep(socket.socket(family, kind, protocol))
            try:
                sock.settimeout(min(deadline.left(), _CONNECT_TIMEOUT))
                sock.connect(address)
            except OSError as error:
                sock.close()
                if failed.errno == errno.ENETUNREACH:  # Mostly because there is no IPv6.
                    failed, failed_at = error, self._address
            else:
                self._is_connected = True
                return sock, deadline
        self._address = failed_at
        raise failed

    def _encrypt(self, plain: socket.socket, deadline: _Deadline) -> socket.socket:
        if self._tls is None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.trust_the_system(self._tls)
        # The handshake comes later, when cut() knows the socket.
        sock = self._tls.wrap_socket(
            plain, server_hostname=self._host.encode("ascii"), do_handshake_on_connect=False
        )
        self._keep(sock)
        try:
            sock.settimeout(min(deadline.left(), _HANDSHAKE_TIMEOUT))
            sock.do_handshake()
        except ssl.SSLCertVerificationError:
            self._tls = None  # The authority may be added while we run.
            sock.close()
            raise
        except OSError:
            sock.close()
            raise
        return sock

    def _request(
        self,
        sock: socket.socket,
        deadline: _Deadline,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> _Answer:
        connection = HTTPConnection(self._host, self._port)
        connection.sock, connection.auto_open = sock, 0
        host = addresses.bracketed(self._host)
        port = "" if self._url.port is None else f":{self._port}"
        common = {"Host": f"{host}{port}", "User-Agent": "doorbelld", "Connection": "close"}
        length = {"Content-Length": str(len(body))}
        connection.putrequest(
            method, addresses.request_target(self._url), skip_host=True, skip_accept_encoding=True
        )
        for name, value in {**common, **self._login(), **headers, **length}.items():
            connection.putheader(name, value)
        refused: OSError | None = None
        try:
            sock.settimeout(deadline.left())
            connection.endheaders()
            for begin in range(0, len(body), _PIECE):
                sock.settimeout(deadline.left())
                connection.send(body[begin : begin + _PIECE])
        except ConnectionError as error:
            refused = error  # It may have answered before it closed: "too large", for example.
        answer = _Answer(sock, deadline, method)
        try:
            answer.begin()
        except (OSError, HTTPException, ValueError) as error:
            answer.close()
            raise refused or error from None
        return answer

    def _login(self) -> dict[str, str]:
        if self._url.username is None:
            return {}
        pair = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode('ascii')}"}

    def _keep(self, sock: socket.socket) -> socket.socket:
        """Remember this socket, for cut() to cut it."""
        self._socket = sock
        if self._is_cut:
            sock.close()
            raise OSError(errno.ECANCELED, "")
        return sock

    def _failure(self, error: Exception) -> PushError:
        words = self._explain(error).format(address=self._address, host=self._host)
        retry = isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError)
        return PushError(f"{self.place} {words}", retry=retry)

    def _explain(self, error: Exception) -> str:
        """Return the end of a sentence that begins with the server."""
        if isinstance(error, ssl.SSLError):
            return _explain_tls(error)
        if isinstance(error, BadStatusLine) and _TLS_ALERT in str(error) and not self._is_secure:
            return _TLS_THERE
        if isinstance(error, socket.gaierror):
            return _NO_NAME_SERVER if error.errno == socket.EAI_AGAIN else _NO_NAME
        if isinstance(error, OSError) and error.errno in _BY_NUMBER:
            return _BY_NUMBER[error.errno]
        for kind, words in _BY_KIND:
            if isinstance(error, kind):
                return _SLOW if kind is socket.timeout and self._is_connected else words
        return f"cannot be asked: {getattr(error, 'strerror', None) or type(error).__name__}"


class _Deadline:
    """The end of the time that a request has."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self._at

    def left(self) -> float:
        """Return the seconds until then. Raises socket.timeout if there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise socket.timeout
        return left


class _BoundedReader(io.RawIOBase):
    """What a server sends until a deadline, up to a number of bytes."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._socket = sock
        self._deadline = deadline
        self._left = _MOST_ANSWER

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read some bytes. Raises OSError, and HTTPException if there are too many."""
        if self._left <= 0:
            raise HTTPException
        self._socket.settimeout(self._deadline.left())
        count = self._socket.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count


class _Answer(HTTPResponse):
    """An answer that is bounded in time and length, whatever the server sends."""

    def __init__(self, sock: socket.socket, deadline: _Deadline, method: str) -> None:
        super().__init__(sock, method=method)
        self.fp.close()
        self.fp = io.BufferedReader(_BoundedReader(sock, deadline))

    def begin(self) -> None:
        """Read the head of the last answer: of those before, the library skips only 100."""
        super().begin()
        while 100 < self.status < 200 and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment]
            try:
                super().begin()
            except RemoteDisconnected:
                return  # It has said no more than that.


def _begin_of(answer: HTTPResponse) -> bytes:
    """Return what there is of the body; a server that refuses early may reset the connection."""
    found = b""
    with suppress(OSError, HTTPException):
        while len(found) < _MOST_BODY:
            piece = answer.read1(_MOST_BODY - len(found))
            if not piece:
                break
            found += piece
    return found


def _explain_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return tls.explain_distrust(error)
    reason = error.reason or ""
    if "WRONG_VERSION" in reason or "HTTP" in reason:
        return "does not speak TLS there, so its URL must begin with http://"
    if "EOF" in reason or isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return _CLOSES
    return f"cannot be asked over TLS: {reason.lower().replace('_', ' ') or 'unknown error'}"


def _place(location: str) -> str:
    """Return where a redirect leads, without secrets and in harmless characters."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return "something that is not a URL"
    if not parts.netloc:
        return "another path"
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return re.sub(r"[^\w.:/\[\]-]", "?", place, flags=re.ASCII)[:100]
