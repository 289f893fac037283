"""Response: what the app answers, and how it looks on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from socket import socket
from typing import Optional

from doorbelld.net.tls import Session
from doorbelld.server.filebody import FileBody

TakeOver = Callable[[socket, bytes, Optional[Session]], bool]
"""Takes a connection over: its socket, the head that is to be sent first, and its TLS.

It returns False, and leaves the socket alone, if that is not possible.
"""


@dataclass(frozen=True)
class Response:
    """An answer. The server adds nothing but the status line and ``Connection: close``.

    ``cookies`` are values of Set-Cookie. ``file`` is the rest of a body that is too long for
    memory; it is sent after ``body``, and closed. With ``close`` the connection ends. If
    ``take_over`` is given, the head is not written but handed over together with the socket;
    ``otherwise`` is sent where that fails.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    cookies: Sequence[str] = ()
    close: bool = False
    file: FileBody | None = None
    take_over: TakeOver | None = None
    otherwise: Response | None = None

    def setting(self, *cookies: str) -> Response:
        """Return the same answer with these cookies; ``otherwise`` has them as well."""
        otherwise = self.otherwise and self.otherwise.setting(*cookies)
        return replace(self, cookies=(*self.cookies, *cookies), otherwise=otherwise)

    def encode(self, *, close: bool, without_body: bool = False) -> bytes:
        """Return it as it is sent; ``without_body`` for HEAD."""
        lines = [f"HTTP/1.1 {self.status:d} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Set-Cookie: {cookie}" for cookie in self.cookies]
        if close:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head if without_body else head + self.body
