"""One request to a server that may do anything: bounded, and one sentence says what helps."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from doorbelld.notify import push as module
from doorbelld.notify.push import Push, PushError
from tests.support import hostile_server as hostile
from tests.support.daemon import GUARD, eventually
from tests.support.hostile_server import HostileServer, Script
from tests.support.news import PICTURE
from tests.support.ports import free_port
from tests.support.secure import Pair, make_signed_pair, root_of, server_context, sign

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
GO_WITH_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
SECRETS = ("TOPIC", "me:word", "tk_secret")
PATH = "/TOPIC?a=tk_secret"


def refused(url: str, seconds: float = 20.0, body: bytes = PICTURE) -> PushError:
    """Return why a request fails."""
    push = Push(url)
    with pytest.raises(PushError) as caught:
        push.send("POST", {"Authorization": "Bearer tk_secret"}, body, seconds)
    sentence = str(caught.value)
    assert sentence.startswith(push.place)
    assert "\n" not in sentence
    assert not sentence.endswith(".")
    assert not [each for each in SECRETS if each in sentence]
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def redirect(location: str, status: int = 301) -> Script:
    lines = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    return hostile.after_head(lines.encode())


@pytest.mark.parametrize(
    ("script", "words", "retry"),
    [
        (hostile.never, "and then does not answer in time", True),
        (hostile.slowly, "and then does not answer in time", True),
        (hostile.reset, "closes the connection without an answer", True),
        (hostile.after_head(b""), "closes the connection without an answer", True),
        (hostile.after_head(b"SSH-2.0-OpenSSH\r\n"), "does not speak HTTP there", False),
        (hostile.after_head(b"\x15\x03\x01\x00\x02\x02\x16"), "must begin with https://", False),
        (hostile.after_head(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 9000), "speak HTTP", False),
        (hostile.after_head(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 99_999), "speak HTTP", False),
        (hostile.without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "speak HTTP", False),
        (hostile.after_head(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "status 103", False),
        (hostile.without_end(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), "speak HTTP", False),
        (hostile.without_end(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 9999), "status 500", True),
        (hostile.after_head(b"HTTP/1.1 429 Slow\r\n\r\n"), "status 429", True),
        (hostile.after_head(b"HTTP/1.1 403 No\r\n\r\n"), "status 403", False),
        (hostile.after_head(GO_WITH_TLS), "must begin with https://", False),
        (hostile.reset_after(GO_WITH_TLS), "must begin with https://", False),
        (hostile.refuse_early, "status 413", False),
        (redirect("https://b.example:1/TOPIC"), "redirects to https://b.example:1; if", False),
        (redirect("http://me:word@b.example/\x1b[2J"), "redirects to http://b.example;", False),
        (redirect("/other"), "redirects to another path", False),
        (redirect("http://[", 302), "redirects to something that is not a URL", False),
    ],
)
def test_hostile_servers(script: Script, words: str, retry: bool) -> None:
    silent = script in (hostile.never, hostile.slowly)
    with HostileServer(script) as server:
        error = refused(f"http://me:word@{server.place}{PATH}", 0.5 if silent else 20)
        assert server.connections == 1, "no redirect is followed"
    assert words in str(error)
    assert error.retry == retry


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_answers_before_the_last_one_are_skipped(status: bytes) -> None:
    before = b"HTTP/1.1 " + status + b"\r\nLink: </a>; rel=preload\r\n\r\n"
    with HostileServer(hostile.after_head(2 * before + OK)) as server:
        Push(f"http://{server.place}/").send("PUT", {}, b"x", 20)


def test_body_without_end_after_success_is_not_read() -> None:
    with HostileServer(hostile.without_end(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536)) as server:
        Push(f"http://{server.place}/").send("PUT", {}, b"x", 20)


def test_answer_without_end_takes_no_memory() -> None:
    flood = hostile.without_end(b"HTTP/1.1 404 No\r\n\r\n", b"x" * 65536)
    with HostileServer(flood) as server:
        tracemalloc.start()
        try:
            error = refused(f"http://{server.place}{PATH}")
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()
    assert 0 < len(error.body) <= 4096


def test_request_is_whole() -> None:
    found: list[bytes] = []

    def script(sock: socket.socket, _: threading.Event) -> None:
        request = hostile.read_head(sock)
        while len(request.partition(b"\r\n\r\n")[2]) < len(PICTURE):
            request += sock.recv(65536)
        found.append(request)
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    with HostileServer(script) as server:
        url = f"http://m%40e:w%3ard@{server.place}/a b/ü?c=d%26&e= f"
        Push(url).send("PUT", {"X-A": "b"}, PICTURE, 20)
    head, _, body = found[0].partition(b"\r\n\r\n")
    assert body == PICTURE
    assert head.decode("ascii").split("\r\n") == [
        "PUT /a%20b/%C3%BC?c=d%26&e=%20f HTTP/1.1",
        f"Host: {server.place}",
        "User-Agent: doorbelld",
        "Connection: close",
        "Authorization: Basic bUBlOnc6cmQ=",
        "X-A: b",
        f"Content-Length: {len(PICTURE)}",
    ]


def test_refusal_is_read_though_the_body_could_not_be_sent() -> None:
    with HostileServer(hostile.refuse_early) as server:
        assert refused(f"http://{server.place}{PATH}", body=bytes(50_000_000)).status == 413


def test_nothing_is_sent_after_it_was_given_up() -> None:
    ends: list[str] = []
    is_given_up = threading.Event()

    def script(sock: socket.socket, _: threading.Event) -> None:
        is_given_up.wait()
        try:
            while sock.recv(65536):
                pass
            ends.append("closed")
        except ConnectionResetError:
            ends.append("reset")

    with HostileServer(script) as server:
        refused(f"http://{server.place}{PATH}", 0.5)
        is_given_up.set()
        eventually(lambda: ends, "the end")
    assert ends == ["reset"]


def test_request_has_all_the_time_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    class Deadline(module._Deadline):
        def __init__(self, seconds: float) -> None:
            given.append(seconds)
            super().__init__(seconds)

    monkeypatch.setattr(module, "_Deadline", Deadline)
    with HostileServer(hostile.after_head(OK)) as server:
        Push(f"http://{server.place}/").send("PUT", {}, b"x", 60)
    assert given == [60], "a second request would ring again"


def test_nothing_listens() -> None:
    error = refused(f"http://127.0.0.1:{free_port()}{PATH}")
    assert "does not listen at that port" in str(error)
    assert error.retry


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EPERM, "x"), "set-property doorbelld IPAddressAllow=127.0.0.1"),
        (OSError(errno.EACCES, "x"), "set-property doorbelld IPAddressAllow=127.0.0.1"),
        (OSError(errno.ETIMEDOUT, "x"), "that no firewall is in between"),
        (OSError(errno.ENETUNREACH, "x"), "check: ip route"),
        (OSError(errno.EHOSTUNREACH, "x"), "check that it is on"),
        (OSError(errno.EMFILE, "Too many open files"), "cannot be asked: Too many open files"),
        (MemoryError("tk_secret"), "cannot be asked: MemoryError"),
    ],
    ids=str,
)
def test_what_the_system_says(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket.socket, "connect", connect)
    found = refused("http://127.0.0.1:9/TOPIC")
    assert words in str(found)
    assert found.retry == isinstance(error, OSError)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_NONAME, "on this machine: getent hosts bell.example"),
        (socket.EAI_AGAIN, "IPAddressDeny="),
    ],
)
def test_name_that_is_not_found(number: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "x")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    error = refused("https://bell.example/TOPIC")
    assert words in str(error)
    assert error.retry


def test_name_that_no_server_knows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def resolve(name: object, *_: object, **__: object) -> None:
        asked.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "x")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "getent hosts door.example" in str(refused("https://door.example/"))
    assert asked == [b"door.example"], "a text would load the tables of Unicode"


def test_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileServer(hostile.after_head(OK)) as server:
        port = int(server.place.rpartition(":")[2])
        v4: Any = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        away: Any = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", free_port()))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [away, v4])
        Push(f"http://bell.example:{port}/").send("PUT", {}, b"", 20)


def test_nothing_is_sent_if_the_name_is_found_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def slow(*_: object, **__: object) -> list[Any]:
        now[0] += 30
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with HostileServer(hostile.after_head(OK)) as server:
        port = int(server.place.rpartition(":")[2])
        error = refused(f"http://bell.example:{port}{PATH}", 20)
        assert server.connections == 0
    assert error.retry
    assert "that no name server resolves now" in str(error)


def test_nothing_answers_at_that_address() -> None:
    with socket.socket() as listener, socket.socket() as other:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        other.connect(listener.getsockname())  # Now its queue is full.
        error = refused(f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}", 0.5)
    assert "does not answer; check that it runs, and that no firewall is in between" in str(error)
    assert "set-property doorbelld IPAddressAllow=127.0.0.1" in str(error)


@pytest.mark.parametrize("is_first", [True, False])
def test_missing_ipv6_is_not_what_is_said(is_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    v6: Any = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::1", 9, 0, 0))
    v4: Any = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 9))
    found = [v6, v4] if is_first else [v4, v6]

    def connect(_: socket.socket, address: tuple[object, ...]) -> None:
        raise OSError(errno.ENETUNREACH if address[0] == "fd00::1" else errno.EPERM, "x")

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket.socket, "connect", connect)
    assert "IPAddressAllow=10.0.0.1" in str(refused("http://bell.example/"))


def test_cut_ends_a_request_at_once_and_prevents_the_next() -> None:
    with HostileServer(hostile.never) as server:
        push = Push(f"http://{server.place}/")
        failed = threading.Event()

        def send() -> None:
            with pytest.raises(PushError):
                push.send("PUT", {}, PICTURE, 60)
            failed.set()

        thread = threading.Thread(target=send)
        thread.start()
        eventually(lambda: server.connections == 1, "it waits for the answer")
        push.cut()
        assert failed.wait(9), "long before its time is over"
        thread.join()
        with pytest.raises(PushError):
            push.send("PUT", {}, PICTURE, 60)
        assert server.connections == 1


# TLS


@pytest.fixture(scope="module")
def authority(
    tmp_path_factory: pytest.TempPathFactory,
    starts_processes: None,  # noqa: ARG001  # for the marker
) -> Path:
    """Return a folder with an authority that no machine trusts."""
    folder = tmp_path_factory.mktemp("authority")
    make_signed_pair(folder)
    return folder


def trust(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process trust it, as if it were in the system's store."""
    monkeypatch.setenv("SSL_CERT_FILE", str(root_of(authority)))


def served(pair: Pair) -> HostileServer:
    return HostileServer(hostile.after_head(OK), server_context(pair))


def test_authority_has_to_be_trusted(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(sign(authority, "IP:127.0.0.1")) as server:
        push = Push(f"https://{server.place}{PATH}")
        with pytest.raises(PushError, match="sudo update-ca-certificates") as caught:
            push.send("PUT", {}, PICTURE, 20)
        assert not caught.value.retry
        trust(authority, monkeypatch)
        push.send("PUT", {}, PICTURE, 20)  # The same Push: no reload is needed.


def test_authority_in_the_folder_of_the_system_is_trusted(
    authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(root_of(authority), tmp_path / "root.crt")
    subprocess.run(["openssl", "rehash", tmp_path], check=True, timeout=GUARD)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with served(sign(authority, "IP:127.0.0.1")) as server:
        Push(f"https://{server.place}{PATH}").send("PUT", {}, PICTURE, 20)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DNS:other.example", "is for another address"),
        ("IP:127.0.0.2", "is for another address"),
    ],
)
def test_certificate_of_another_server(
    name: str, words: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(authority, monkeypatch)
    with served(sign(authority, name)) as server:
        assert words in str(refused(f"https://{server.place}{PATH}"))
        port = server.place.rpartition(":")[2]
        words = str(refused(f"https://localhost:{port}{PATH}"))
        assert "is for another host name; set that name instead" in words


def test_hostile_servers_over_tls(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(authority, monkeypatch)
    context = server_context(sign(authority, "IP:127.0.0.1"))
    with HostileServer(hostile.slowly, context) as server:
        assert "does not answer in time" in str(refused(f"https://{server.place}{PATH}", 0.5))
    with HostileServer(hostile.never, context) as server:
        large = bytes(20_000_000)  # more than the buffers on the way take
        assert "does not answer in time" in str(
            refused(f"https://{server.place}{PATH}", 0.5, large)
        )
    with HostileServer(hostile.reset, context) as server:
        assert "closes the connection" in str(refused(f"https://{server.place}{PATH}"))


def test_no_handshake() -> None:
    with HostileServer(hostile.never) as server:
        assert "does not answer in time" in str(refused(f"https://{server.place}{PATH}", 0.5))
    plain = b"HTTP/1.1 400 Bad Request\r\n\r\n"

    def script(sock: socket.socket, _: threading.Event) -> None:
        sock.recv(65536)
        sock.sendall(plain)

    with HostileServer(script) as server:
        assert "must begin with http://" in str(refused(f"https://{server.place}{PATH}"))
