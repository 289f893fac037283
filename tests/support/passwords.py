"""Passwords: how a daemon gets one, and how a client logs in."""

from __future__ import annotations

from base64 import b64encode
from http.client import HTTPResponse
from pathlib import Path

from doorbelld.access.password import hashed
from tests.support.daemon import Daemon

WORD, OTHER = "correct horse", "battery staple"


def basic(password: str, name: str = "me") -> dict[str, str]:
    credentials = b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def set_password(path: Path, password: str) -> None:
    """Replace the file at once, as the command does."""
    new = path.with_suffix(".new")
    new.write_text(hashed(password))
    new.replace(path)


def log_in(
    daemon: Daemon, password: str, source: str = "127.0.0.1", **headers: str
) -> tuple[HTTPResponse, bytes]:
    """Send the form as a browser does, from an address."""
    body = f"username=doorbell&password={password.replace(' ', '+')}"
    lines = ["POST /login HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/x-www-form-urlencoded", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with daemon.connect(source=source) as sock:
        sock.sendall("\r\n".join([*lines, "", body]).encode())
        answer = HTTPResponse(sock, method="POST")
        answer.begin()
        return answer, answer.read()


def cookie_of(answer: HTTPResponse) -> str:
    return (answer.getheader("Set-Cookie") or "").partition(";")[0]


# Without the password
