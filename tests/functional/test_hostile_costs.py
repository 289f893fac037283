"""What strangers may cost: neither requests nor handshakes take long, whatever they are."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from doorbelld.access import password
from doorbelld.config.schema import AccessSection
from doorbelld.net import certificates
from doorbelld.wiring import tls_context
from tests.support.cost import UNIT, assert_cheap_for
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.raw import read_answer, read_to_end
from tests.support.secure import Pair, RawClient, SecureDaemon, make_pair

TIMES = 4
CLIENT = b"X-Forwarded-For: 127.0.0.1\r\n"
"""What the daemon needs, as it takes every client for a proxy."""

ROOM = UNIT - 200
"""Bytes that one line may have, besides the others of a head."""

RUNS = {
    "blanks": b" ",
    "tabs": b"\t",
    "commas": b",",
    "semicolons": b";",
    "colons": b":",
    "equals": b"=",
    "ampersands": b"&",
    "percents": b"%",
    "slashes": b"/",
    "digits": b"1",
    "quotes": b'"',
    "backslashes": b"\\",
    "brackets": b"[",
    "dots": b"a.",
    "words": b"a ",
    "line feeds": b"\n",
    "returns": b"\r",
    "lines": b"a:\r\n",
    "line ends": b"\r\n",
    "encoded": b"%25",
    "cookies": b"doorbelld=1;",
    "addresses": b"::1,",
    "high": b"\xe9",
    "questions": b"?",
    "parameters": b"?a",
}
STARTS = {
    "line": b"",
    "value": b"a:",
    "Host": b"Host: ",
    "Cookie": b"Cookie: doorbelld=",
    "Authorization": b"Authorization: Basic ",
    "Accept": b"Accept: ",
    "Connection": b"Connection: ",
    "If-None-Match": b"If-None-Match: ",
    "Origin": b"Origin: http://",
    "X-Forwarded-For": b"X-Forwarded-For: ",
    "Content-Type": b"Content-Type: multipart/x; a=",
    "Content-Type in quotes": b'Content-Type: multipart/x; a="',
    "Content-Length": b"Content-Length: ",
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return a daemon that is configured to evaluate every header."""
    folder = tmp_path_factory.mktemp("door")
    file = folder / "password"
    file.write_text(password.hashed("correct horse battery staple"), encoding="ascii")
    settings = {
        "camera.resolution": "160x120",
        "camera.framerate": 5,
        "access.password_file": file,
        "access.trusted_proxies": "lan",
    }
    with Daemon(folder) as found:
        found.start(settings)
        own = {"X-Forwarded-For": "127.0.0.1"}
        eventually(lambda: found.request("/healthz", headers=own)[0].status == 200, "a picture")
        yield found


def say(daemon: Daemon, request: bytes) -> None:
    """Send it, and wait for the answer or the end of the connection."""
    with daemon.connect() as sock, suppress(ConnectionError):
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        read_to_end(sock)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_no_head_costs_much(door: Daemon, run: bytes, start: bytes) -> None:
    line = start + run * ((ROOM - len(start)) // len(run))
    client = b"" if start.startswith(b"X-Forwarded-For") else CLIENT
    heads = [
        first + client + line + end + b"\r\n\r\n"
        for first in (b"GET / HTTP/1.1\r\n", b"POST /login HTTP/1.1\r\n")
        for end in (b"", b"\0")
    ]
    with assert_cheap_for(door.pid, UNIT, times=len(heads)):
        for head in heads:
            say(door, head)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_no_target_and_no_form_costs_much(door: Daemon, run: bytes) -> None:
    target, form = run * (8000 // len(run)), b"password=" + run * (4000 // len(run))
    requests = [
        b"GET /?" + target + b" HTTP/1.1\r\n" + CLIENT + b"\r\n",
        b"GET /" + target + b" HTTP/1.1\r\n" + CLIENT + b"\r\n",
        b"GET http://" + target + b" HTTP/1.1\r\n" + CLIENT + b"\r\n",
    ]
    with assert_cheap_for(door.pid, UNIT, times=len(requests)):
        for request in requests:
            say(door, request)
    head = b"POST /logout HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n" + CLIENT
    with assert_cheap_for(door.pid, UNIT):
        say(door, head + b"Content-Length: %d\r\n\r\n" % len(form) + form)


def drip(sock: socket.socket, data: bytes) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for start in range(len(data)):
        sock.sendall(data[start : start + 1])


def test_a_head_that_drips_costs_no_more(door: Daemon) -> None:
    start, end = b"GET /healthz HTTP/1.1\r\n" + CLIENT, b"\r\n\r\n"
    head = start + b"a:\r\n" * ((UNIT - len(start) - len(end)) // 4 // 50) + b"a:"
    head += b"b" * (UNIT - len(head) - len(end)) + end
    with assert_cheap_for(door.pid, UNIT), door.connect() as sock:
        drip(sock, head)
        assert read_answer(sock).status == 200


def test_a_body_that_drips_costs_no_more(door: Daemon) -> None:
    start = b"POST /logout HTTP/1.1\r\nContent-Length: 4096\r\n" + CLIENT
    head = start + b"a:b\r\n" * ((UNIT - len(start) - 2) // 5) + b"\r\n"
    with assert_cheap_for(door.pid, UNIT), door.connect() as sock:
        sock.sendall(head)
        drip(sock, b"b" * 4096)
        assert b" 431 " in read_to_end(sock), "that was read to its end"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return a certificate for all tests."""
    return make_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(tmp_path: Path, pair: Pair) -> Iterator[SecureDaemon]:
    """Return a daemon that speaks TLS."""
    found = SecureDaemon(tmp_path, pair)
    with found:
        found.start({"camera.resolution": "160x120", "camera.framerate": 5})
        found.wait_for_state("streaming")  # Starting takes processor time, too.
        yield found


def s_client(daemon: Daemon, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{daemon.port}", *options]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=GUARD
    )


@pytest.mark.parametrize("group", ["ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"])
def test_no_handshake_in_a_finite_field(secure: SecureDaemon, group: str) -> None:
    with assert_cheap_for(secure.pid, UNIT):
        for _ in range(4):
            assert s_client(secure, "-groups", group).returncode != 0
    assert s_client(secure, "-groups", f"{group}:P-256").returncode == 0


@pytest.mark.parametrize("groups", ["P-256", "X25519:P-256", "X448:P-521:P-384:P-256"])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_handshake_of_every_browser(secure: SecureDaemon, version: str, groups: str) -> None:
    done = s_client(secure, version, "-groups", groups)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("ciphers", ["DHE", "kRSA", "kDHE", "ECDHE+CAMELLIA", "ECDHE+AES+SHA1"])
def test_no_cipher_that_costs_us_more(tmp_path: Path, ciphers: str) -> None:
    rsa = Pair(tmp_path / "rsa.crt", tmp_path / "rsa.key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=door"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(rsa.key), "-out", str(rsa.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    with SecureDaemon(tmp_path, rsa) as daemon:
        daemon.start()
        assert s_client(daemon, "-tls1_2", "-cipher", ciphers).returncode != 0
        assert s_client(daemon, "-tls1_2", "-cipher", "ECDHE+AESGCM").returncode == 0


def test_a_handshake_that_drips_costs_no_more(secure: SecureDaemon) -> None:
    with assert_cheap_for(secure.pid, UNIT), RawClient(secure) as client:
        client.shake_hands(1)
        client.send(client.encrypted(b"GET /healthz HTTP/1.1\r\n\r\n"), 1)
        assert client.receive(15).startswith(b"HTTP/1.1 ")


def _extension(number: int, data: bytes) -> bytes:
    return number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def _with_length(data: bytes, size: int = 2) -> bytes:
    return len(data).to_bytes(size, "big") + data


def test_a_hello_that_offers_thousands_of_everything_costs_no_more(secure: SecureDaemon) -> None:
    many = range(0x5000, 0x5000 + 1400)
    names = b"".join(number.to_bytes(2, "big") for number in many)
    shares = b"".join(number.to_bytes(2, "big") + b"\0\1x" for number in many[:1000])
    extensions = (
        _extension(43, b"\2\3\4")
        + _extension(10, _with_length(names))
        + _extension(13, _with_length(names[:2000]))
        + _extension(51, _with_length(shares))
    )
    ciphers = _with_length(names + b"\x13\x01")
    body = b"\3\3" + bytes(32) + b"\0" + ciphers + b"\1\0" + _with_length(extensions)
    record = b"\x16\3\1" + _with_length(b"\1" + _with_length(body, 3))
    with assert_cheap_for(secure.pid, UNIT, times=TIMES):
        for _ in range(TIMES):
            with secure.connect_plainly() as sock, suppress(ConnectionError):
                sock.sendall(record)
                assert b"HTTP/" not in read_to_end(sock)


def test_a_key_that_is_slow_is_logged(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    section = AccessSection(tls_certificate=pair.certificate, tls_key=pair.key)
    assert tls_context(section)
    assert caplog.text == ""
    monkeypatch.setattr(certificates, "SLOW", 0.0)
    assert tls_context(section)
    assert f"tls_key = {pair.key}: each new connection takes" in caplog.text
