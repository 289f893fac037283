"""Exchange: one request and its answer, as far as they are the same for every path.

The standard library's :mod:`http.server` parses the head. An exchange reads from and writes
to memory alone: the request is whole before it starts, and its answer is sent by the server,
so that no handler ever waits for a client.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from string import punctuation
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from doorbelld.access import embedding
from doorbelld.server import framing
from doorbelld.server.connection import Connection
from doorbelld.web import gate, headers
from doorbelld.web.gate import BadRequestError, StrangerError

if TYPE_CHECKING:
    from doorbelld.web.httpd import Server

_log = logging.getLogger(__name__)

_MAX_LINE = 8 * 1024
"""The longest request line, in bytes."""

_TLS_ONLY = "this port speaks HTTPS alone: open the same address with https://"

_PROXY_PROTOCOL = (
    "doorbelld does not speak the PROXY protocol: turn it off in the proxy,"
    " and let it send X-Forwarded-For"
)

TEXT = "text/plain; charset=utf-8"
NO_STORE = {"Cache-Control": "no-store"}

Query = Mapping[str, str]
_T = TypeVar("_T")


class _Headers(HTTPMessage):
    """A request's headers, none of which says how a body is divided into parts."""

    def get_boundary(self, failobj: _T | None = None) -> _T | None:  # type: ignore[override]
        """Return None: the parser always asks, and looking for one may take quadratic time."""
        return failobj


class Exchange(BaseHTTPRequestHandler):
    """One request: its head parsed, its answer written into memory.

    ``body`` is that of a small form, b"" where none has come with the request: whatever else
    the head announces is never read. ``client`` is the address of the client. ``new_cookies`` are
    set by the answer, whichever it is.
    """

    MessageClass = _Headers
    protocol_version = "HTTP/1.1"
    server_version = "doorbelld"
    sys_version = ""
    server: Server  # type: ignore[assignment]  # it is no socketserver
    command = ""
    requestline = ""
    request_version = "HTTP/1.1"
    close_connection = True
    body = b""

    def __init__(self, request: bytes, connection: Connection, server: Server) -> None:
        self.connection_ = connection
        self.client = connection.address
        self.new_cookies: list[str] = []
        self._embed: Sequence[str] = ()
        self._embedder = ""
        self._ticket = b""
        super().__init__(request, (connection.address, 0), server)  # type: ignore[arg-type]

    # What http.server asks for.

    def setup(self) -> None:
        """Read from and write to memory instead of the socket."""
        self.request = framing.without_empty_line(self.request)
        self.rfile = BytesIO(self.request)
        self.wfile = BytesIO()

    def finish(self) -> None:
        """Leave the answer where it is: the server sends it."""

    def handle(self) -> None:
        """Answer the one request that was given."""
        self.raw_requestline = self.rfile.readline()
        head = self.request[: framing.head_size(self.request)]
        if len(self.raw_requestline) > _MAX_LINE:
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        elif framing.is_proxy_protocol(self.request):
            self.send_error(HTTPStatus.BAD_REQUEST, _PROXY_PROTOCOL)
        elif not self.raw_requestline.strip():
            self.send_error(HTTPStatus.BAD_REQUEST, "the request line is empty")
        elif reason := framing.flaw(head):
            self.send_error(HTTPStatus.BAD_REQUEST, reason)
        elif not self.parse_request():
            return  # and has said why
        elif self.request_version == "HTTP/0.9":
            self.send_error(HTTPStatus.BAD_REQUEST, "the request line has no HTTP version")
        else:
            self.body = self.rfile.read()
            self._respond()

    def handle_expect_100(self) -> bool:
        """Ask nobody to send a body: none is read."""
        return True

    def send_error(
        self,
        code: int,
        message: str | None = None,
        explain: str | None = None,  # noqa: ARG002  # http.server's page-long version
    ) -> None:
        """Answer with one short plain reason, and close."""
        self.close_connection = True
        if self.request_version == "HTTP/0.9":
            self.request_version = "HTTP/1.0"  # Or the answer would have no head.
        self._refuse(code, message or HTTPStatus(code).phrase)

    def version_string(self) -> str:
        """Tell the name alone: which version is nobody's business."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Log with ``-v``; a request line is a stranger's text, so %r keeps it harmless."""
        line = embedding.without_token(self.requestline)
        _log.debug("%s: %r: %s", self.connection_.address, line, format % args)

    def log_request(self, code: object = "-", size: object = "-") -> None:  # noqa: ARG002
        """Log the status of the answer."""
        self.log_message("%s", code.value if isinstance(code, HTTPStatus) else code)

    # The answer.

    def answer(self) -> bytes:
        """Return all that was written, head and body."""
        return self.wfile.getvalue()  # type: ignore[attr-defined,no-any-return]

    def _respond(self) -> None:
        # What is not read must not be taken for the next request.
        self.close_connection |= self._has_body() and not self.body
        # Who is sure to get a tunnel may have begun to use it.
        self.close_connection |= self.command == "CONNECT"
        # http.server knows «close» only where it stands alone.
        self.close_connection |= "close" in self._connection_options()
        try:
            self._let_in()
            if self.server.tls and not self.connection_.secure:
                self._send_to_tls()
            else:
                self._route()
        except BadRequestError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except StrangerError as error:
            self.server.refusals.note(self.client, str(error))
            self.close_connection = True
            self._turn_away(error)

    def _let_in(self) -> None:
        """Raise a StrangerError unless this client may ask for this, by this name."""
        access, peer = self.server.access, self.client
        self.client = gate.client(access, self.headers.items(), self.request_version, peer)
        self._ticket = self._find_ticket()
        self._embedder = gate.let_in(
            access, self.headers, self.path, self.client, peer, is_shared=bool(self._ticket)
        )
        self._embed = access.embed  # Strangers are not told of them.

    def _find_ticket(self) -> bytes:
        """Return what stands for a good token in the URL, b"" without one: see embedding.py."""
        raise NotImplementedError

    def _turn_away(self, error: StrangerError) -> None:
        """Say why a request is refused, as a page where a person will read it."""
        if error.advice.settings and "text/html" in self.headers.get("Accept", ""):
            page = error.advice.as_page().encode()
            self._reply(error.status, "text/html; charset=utf-8", page)
        else:
            self._refuse(error.status, str(error))

    def _send_to_tls(self) -> None:
        """Answer who asks in plain text where TLS is spoken, and with nothing else."""
        self.close_connection = True
        host = self.headers.get("Host", "").strip().rstrip(":")
        if ":" not in host.rpartition("]")[2]:
            host += host and ":80"  # It is the same port, though not what https:// alone means.
        if host and self.path.startswith("/") and self.command in ("GET", "HEAD"):
            place = quote(f"{host}/{self.path.lstrip('/')}", punctuation, "latin-1")
            fields = {"Location": f"https://{place}"}
            self._refuse(HTTPStatus.TEMPORARY_REDIRECT, _TLS_ONLY, fields)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, _TLS_ONLY)

    def _route(self) -> None:
        """Answer by the path, which is up to the handler."""
        raise NotImplementedError

    def _split_url(self) -> tuple[str, Query]:
        try:
            url = urlsplit(self.path)
            query = parse_qs(url.query, keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise BadRequestError("the URL cannot be understood") from None
        return unquote(url.path) or "/", {key: values[-1] for key, values in query.items()}

    def _has_body(self) -> bool:
        lengths = [each.strip(" \t") for each in self.headers.get_all("Content-Length", ["0"])]
        return "Transfer-Encoding" in self.headers or lengths != ["0"]

    def _connection_options(self) -> set[str]:
        options = ",".join(self.headers.get_all("Connection", []))
        return {each.strip().lower() for each in options.split(",")}

    def _reply(
        self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] = NO_STORE
    ) -> None:
        self._head(
            status, {"Content-Type": content_type, "Content-Length": str(len(body))}, headers
        )
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, *fields: Mapping[str, str]) -> None:
        self.send_response(status)
        hsts = self.server.hsts and self.connection_.secure
        shared = bool(self._ticket)
        security = headers.security(self._embed, self._embedder, hsts=hsts, shared=shared)
        for each in fields:
            security.update(each)
        for name, value in security.items():
            self.send_header(name, value)
        for cookie in self.new_cookies:
            self.send_header("Set-Cookie", cookie)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _refuse(self, status: int, reason: str, headers: Mapping[str, str] = {}) -> None:
        self._reply(status, TEXT, f"{reason}\n".encode(), {**NO_STORE, **headers})

    def _json(self, status: int, value: object, headers: Mapping[str, str] = {}) -> None:
        body = json.dumps(value).encode() + b"\n"
        self._reply(status, "application/json", body, {**NO_STORE, **headers})
