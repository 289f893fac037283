"""Request: what a client asks for, read from memory by the standard library's http.server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from doorbelld.server.framing import MAX_FIELDS, Fields, Head

_MOST_PARAMETERS = 20

Query = Mapping[str, str]


class RequestError(Exception):
    """The request cannot be answered as it is: ``status``, and the text says why.

    ``line`` and ``method`` are those of the request, as far as they are known.
    """

    def __init__(
        self, why: str, status: int = HTTPStatus.BAD_REQUEST, *, line: str = "", method: str = ""
    ) -> None:
        super().__init__(why)
        self.status = status
        self.line = line
        self.method = method


class Headers:
    """The header lines of a request. Names are not case-sensitive.

    ``fields`` are name and value of all of them, in their order.
    """

    __slots__ = ("_values", "fields")

    def __init__(self, fields: Fields = ()) -> None:
        self.fields = fields
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.lower(), []).append(value)

    def get(self, name: str, default: str = "") -> str:
        """Return the value of the first header line with this name."""
        found = self._values.get(name.lower())
        return found[0] if found else default

    def get_all(self, name: str) -> list[str]:
        """Return the values of all header lines with this name."""
        return self._values.get(name.lower(), [])


class _Url(NamedTuple):
    path: str
    query: Query


@dataclass(frozen=True)
class Request:
    """One request of a client whose address is ``peer``. It never changes.

    ``line`` is the request line, ``target`` what it asks for. ``body`` is that of a small form,
    b"" if none was read; ``has_body`` says whether one was announced, ``secure`` whether it came
    over TLS. Unless ``keep_alive``, the connection ends with the answer.
    """

    method: str
    target: str
    version: str
    headers: Headers
    body: bytes = b""
    peer: str = "127.0.0.1"
    secure: bool = False
    line: str = ""
    has_body: bool = False
    keep_alive: bool = True

    @property
    def path(self) -> str:
        """The path that is asked for, decoded. Raises RequestError."""
        return self._url.path

    @property
    def query(self) -> Query:
        """The parameters in the URL; the last one counts. Raises RequestError."""
        return self._url.query

    @cached_property
    def _url(self) -> _Url:
        try:
            path, query = _split(self.target)
            found = query and dict(
                parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
            )
        except ValueError:
            raise RequestError("the URL cannot be understood") from None
        return _Url(unquote(path) or "/", found or {})


def _split(target: str) -> tuple[str, str]:
    """Return path and query of a request target."""
    if target.startswith("/") and not target.startswith("//"):  # as it nearly always is
        path, _, query = target.partition("#")[0].partition("?")
        return path, query
    url = urlsplit(target)
    return url.path, url.query


class _RequestLine(BaseHTTPRequestHandler):
    """A request line as http.server reads it. The header lines were read by framing.

    ``problem`` is what http.server answers to a request line that it does not accept.
    """

    protocol_version = "HTTP/1.1"
    command = ""
    problem: tuple[int, str] | None = None

    def __init__(self, line: str) -> None:
        # Not super().__init__(), which would serve a socket.
        self.raw_requestline = line.encode("latin-1")
        self.rfile = BytesIO()  # no header lines

    def send_error(
        self,
        code: int,
        message: str | None = None,
        explain: str | None = None,  # noqa: ARG002  # http.server's page-long version
    ) -> None:
        """Remember what is wrong. The app finds the words of the answer."""
        self.problem = (code, message or HTTPStatus(code).phrase)


class _Asked(NamedTuple):
    """What a request line says, or what is wrong with it."""

    method: str
    target: str
    version: str
    keep_alive: bool
    problem: tuple[int, str] | None


@lru_cache(maxsize=32)  # Pages and programs send the same few lines again and again.
def _read_line(line: str) -> _Asked:
    found = _RequestLine(line)
    found.parse_request()
    version, problem = found.request_version, found.problem
    return _Asked(
        found.command or "",
        getattr(found, "path", ""),
        version,
        not found.close_connection,
        problem,
    )


def read(head: Head, body: bytes, peer: str, *, secure: bool) -> Request:
    """Return the request with this head and this body. Raises RequestError."""
    if head.problem:
        raise RequestError(head.problem[1], head.problem[0])
    method, target, version, keep_alive, problem = _read_line(head.line)
    if not problem and len(head.fields) > MAX_FIELDS:
        problem = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Too many headers")
    if not problem and version == "HTTP/0.9":
        problem = (HTTPStatus.BAD_REQUEST, "the request line has no HTTP version")
    if problem:
        status, why = problem
        raise RequestError(why, status, line=head.line, method=method)
    headers = Headers(head.fields)
    keep_alive = _keeps_alive(headers, by_default=keep_alive)
    # An unread body must not be taken for the next request, and a client that expects a tunnel
    # may have begun to use it.
    if (head.has_body and not body) or method == "CONNECT":
        keep_alive = False
    return Request(
        method,
        target,
        version,
        headers,
        body,
        peer,
        secure,
        head.line,
        head.has_body,
        keep_alive,
    )


def _keeps_alive(headers: Headers, *, by_default: bool) -> bool:
    """Return whether the client wants to keep the connection."""
    lines = headers.get_all("connection")
    if not lines:
        return by_default
    if "close" in [each.strip().lower() for each in ",".join(lines).split(",")]:
        return False
    return by_default or lines[0].lower() == "keep-alive"
