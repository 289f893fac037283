"""The password on the running daemon: with it a client gets everything, without it nothing."""

from __future__ import annotations

import hashlib
import itertools
import json
import select
import signal
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorbelld.access.budget import BURST
from tests.support.daemon import Daemon, eventually
from tests.support.passwords import OTHER, WORD, basic, cookie_of, log_in, set_password
from tests.support.paths import ENDLESS, EVERY_PATH
from tests.support.raw import Answer, assert_strict, read_answer, read_to_end
from tests.support.viewer_group import ViewerGroup

OPEN = {"/login": 200, "/login.css": 200, "/login.js": 200, "/healthz": 200}
SMALL = {"camera.resolution": "160x120"}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return a daemon with a password, which no test changes."""
    folder = tmp_path_factory.mktemp("locked")
    set_password(folder / "password", WORD)
    with Daemon(folder) as found:
        found.start({**SMALL, "access.password_file": folder / "password"})
        eventually(lambda: found.request("/healthz")[0].status == 200, "a picture")
        yield found


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
@pytest.mark.parametrize("path", [*EVERY_PATH, "/app.js", "/icon.svg", "/login.html", "/nothing"])
def test_stranger_gets_nothing(locked: Daemon, path: str, method: str) -> None:
    if path in OPEN:
        return
    answer, body = locked.request(path, method)
    assert answer.status == 401
    assert_strict(answer.headers)
    assert body in (b"", b"the password is needed\n")


@pytest.mark.parametrize("path", OPEN)
def test_open_paths_reveal_nothing(locked: Daemon, path: str) -> None:
    answer, body = locked.request(path)
    assert answer.status == OPEN[path]
    for secret in (b"Front", b"pattern", b"streaming", b"160", b"0.1."):
        assert secret not in body


def test_no_other_path_is_open(locked: Daemon) -> None:
    web = Path(__file__).parents[2] / "doorbelld" / "web" / "static"
    paths = {"/", *EVERY_PATH, *(f"/{each.name}" for each in web.iterdir())}
    found = {path for path in paths if locked.request(path)[0].status != 401}
    assert found == {"/login.css", "/login.js", "/healthz"}


def test_healthz_says_one_word(daemon: Daemon, tmp_path: Path) -> None:
    set_password(tmp_path / "password", WORD)
    daemon.start({"camera.source": "file:/missing", "access.password_file": tmp_path / "password"})
    daemon.wait_for_log("camera offline")
    answer, body = daemon.request("/healthz")
    assert (answer.status, body) == (503, b"offline\n")


def test_browser_is_sent_to_the_form(locked: Daemon) -> None:
    for path in ("/", "/status", "/video_feed", "/nothing"):
        answer, body = locked.request(path, headers={"Accept": "text/html,*/*"})
        assert (answer.status, answer.getheader("Location"), body) == (303, "/login", b"")
        assert_strict(answer.headers)


@pytest.mark.parametrize(
    ("accept", "challenge"),
    [("*/*", "Basic"), ("", "Basic"), ("application/json", "Cookie"), ("image/png,*/*", "Cookie")],
)
def test_only_programs_are_asked_by_http_basic(locked: Daemon, accept: str, challenge: str) -> None:
    answer, _ = locked.request("/status", headers={"Accept": accept})
    assert answer.status == 401
    assert (answer.getheader("WWW-Authenticate") or "").split()[0] == challenge


@pytest.mark.parametrize(
    "header",
    [
        *("Basic", "Basic !!!", "Basic YQ==", "Basic \xff\xfe", "Basic " + "A" * 5000, "Bearer x"),
        *("basic:x", "Basic Og==", "Digest username=x", "Basic =", "Basic /////w=="),
    ],
)
def test_credentials_that_are_none_are_wrong(locked: Daemon, header: str) -> None:
    with locked.connect(source="127.0.0.9") as sock:
        request = f"GET /status HTTP/1.1\r\nHost: localhost\r\nAuthorization: {header}\r\n\r\n"
        sock.sendall(request.encode("latin-1"))
        assert read_answer(sock).status in (401, 429)


# With it


@pytest.mark.parametrize("path", [path for path in EVERY_PATH if path not in ENDLESS])
def test_program_that_knows_it_gets_everything(locked: Daemon, path: str) -> None:
    assert locked.request(path, headers=basic(WORD))[0].status == 200
    assert locked.request(path, headers=basic(WORD, ""))[0].status == 200


def test_browser_that_knows_it_gets_a_cookie_that_opens_everything(locked: Daemon) -> None:
    answer, body = log_in(locked, WORD)
    assert (answer.status, answer.getheader("Location"), body) == (303, "/", b"")
    set_cookie = answer.getheader("Set-Cookie") or ""
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(set_cookie.split("; "))
    assert "Secure" not in set_cookie, "it came over plain HTTP"
    headers = {"Cookie": cookie_of(answer)}
    for path in (*EVERY_PATH, "/app.js"):
        if path not in ENDLESS:
            assert locked.request(path, headers=headers)[0].status == 200
    answer, _ = locked.request("/login", headers=headers)
    assert (answer.status, answer.getheader("Location")) == (303, "/"), "already logged in"


def test_stream_needs_the_password(locked: Daemon) -> None:
    cookie = cookie_of(log_in(locked, WORD)[0])
    for headers, status in ((f"Cookie: {cookie}\r\n", 200), ("Cookie: doorbelld=x\r\n", 401)):
        with locked.connect() as sock, sock.makefile("rb") as file:
            sock.sendall(f"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
            assert int(file.readline().split()[1]) == status


def test_log_out_takes_the_cookie_back(locked: Daemon) -> None:
    answer, _ = locked.request("/logout", "POST", {"Cookie": cookie_of(log_in(locked, WORD)[0])})
    assert (answer.status, answer.getheader("Location")) == (303, "/login")
    assert (answer.getheader("Set-Cookie") or "").startswith("doorbelld=; Max-Age=0;")
    assert locked.request("/logout")[0].status == 405


def test_wrong_password_shows_the_form_again(locked: Daemon) -> None:
    answer, body = log_in(locked, "<b>wrong</b>", source="127.0.0.2")
    assert answer.status == 401
    assert b"That is not the password." in body
    assert b"wrong</b>" not in body
    assert not cookie_of(answer)
    assert answer.getheader("Cache-Control") == "no-store"
    assert "127.0.0.2: refused: wrong password" in locked.log()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"pass=x"),
        ("application/x-www-form-urlencoded", b"password=a&password=b"),
        ("application/x-www-form-urlencoded", b"\xff\xfe"),
        ("application/x-www-form-urlencoded", b""),
        ("text/plain", b"password=correct+horse"),
        ("application/json", b'{"password": "correct horse"}'),
    ],
)
def test_what_is_not_the_form_is_refused(locked: Daemon, content_type: str, body: bytes) -> None:
    with locked.connect() as sock:
        head = f"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert read_answer(sock, "POST").status == 400


def test_site_that_may_show_it_may_not_send_the_forms(daemon: Daemon, tmp_path: Path) -> None:
    set_password(tmp_path / "password", WORD)
    page = "https://dashboard.example"
    daemon.start({"access.password_file": tmp_path / "password", "access.embed": page})
    assert log_in(daemon, WORD, Origin=page)[0].status == 403
    assert log_in(daemon, WORD, Referer=f"{page}/x")[0].status == 403
    for headers in ({"Origin": page}, {"Origin": "null"}, {"Origin": "http://evil.example"}):
        assert daemon.request("/logout", "POST", headers)[0].status == 403
    answer, _ = log_in(daemon, WORD, Origin="http://localhost")
    assert answer.status == 303
    assert "SameSite=Strict" in (answer.getheader("Set-Cookie") or "")


def test_cookie_for_frames_is_given_over_tls_and_to_frames_alone(
    daemon: Daemon, tmp_path: Path
) -> None:
    set_password(tmp_path / "password", WORD)
    settings = {"access.password_file": tmp_path / "password"}
    daemon.start({**settings, "access.embed": "https://dashboard.example"})
    # The headers of a browser that got the page over TLS from a proxy.
    by_tls = {"Origin": "https://localhost", "Sec-Fetch-Site": "same-origin"}
    answer, _ = log_in(daemon, WORD, **by_tls, **{"Sec-Fetch-Dest": "iframe"})
    cookie = answer.getheader("Set-Cookie") or ""
    assert cookie.startswith("doorbelld_framed=")
    assert cookie.endswith("Path=/; HttpOnly; SameSite=None; Secure; Partitioned")
    kept = {"Cookie": cookie_of(answer)}
    assert daemon.request("/status", headers=kept)[0].status == 200
    # With a request of another site the cookie is sent, but opens nothing.
    for page in ("http://evil.example", "null", "https://dashboard.example"):
        assert daemon.request("/logout", "POST", {**kept, "Origin": page})[0].status == 403
        assert log_in(daemon, WORD, Origin=page, **kept)[0].status == 403
    assert daemon.request("/status", headers={**kept, "Origin": "null"})[0].status == 403
    answer, _ = daemon.request("/logout", "POST", {**kept, **by_tls})
    cleared = answer.headers.get_all("Set-Cookie") or []
    assert [each.partition(";")[0] for each in cleared] == ["doorbelld=", "doorbelld_framed="]
    for headers in ({**by_tls, "Sec-Fetch-Dest": "document"}, {"Sec-Fetch-Dest": "iframe"}):
        answer, _ = log_in(daemon, WORD, **headers)
        assert "SameSite=Strict" in (answer.getheader("Set-Cookie") or ""), headers


def test_form_of_another_site_is_refused(locked: Daemon) -> None:
    for page in ("http://evil.example", "null"):
        assert log_in(locked, WORD, Origin=page)[0].status == 403
    assert log_in(locked, WORD, Origin="http://localhost")[0].status == 303


# Guessing


def test_guessing_makes_its_own_address_wait_and_no_other(locked: Daemon) -> None:
    for number in range(5):
        assert log_in(locked, f"wrong {number}", source="127.0.0.3")[0].status == 401
    answer, body = log_in(locked, WORD, source="127.0.0.3")
    assert answer.status == 429
    assert_strict(answer.headers, referrer="same-origin")
    assert int(answer.getheader("Retry-After") or 0) in (1, 2)
    assert b"Too many wrong passwords, try again in" in body
    assert log_in(locked, WORD, source="127.0.0.4")[0].status == 303


def test_guessing_by_http_basic_waits_longer_each_time(locked: Daemon) -> None:
    def ask(password: str) -> Answer:
        header = basic(password)["Authorization"]
        request = f"GET /status HTTP/1.1\r\nHost: localhost\r\nAuthorization: {header}\r\n\r\n"
        with locked.connect(source="127.0.0.5") as sock:
            sock.sendall(request.encode())
            return read_answer(sock)

    def wrong() -> Answer:
        return ask(f"wrong {next(numbers)}")  # The same wrong password counts only once.

    def wait() -> int:
        return eventually(lambda: int(wrong().headers.get("Retry-After", 0)), "a wait")

    numbers = itertools.count()

    # A program with the right password must not make guessing easier for others.
    assert locked.request("/status", headers=basic(WORD))[0].status == 200
    first = wait()
    eventually(lambda: wrong().status == 401, "another guess")
    assert wait() > first
    assert ask(WORD).status == 429
    assert locked.request("/status", headers=basic(WORD))[0].status == 200


def is_readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def test_flood_of_guesses_costs_viewers_nothing(locked: Daemon) -> None:
    guess = "username=x&password=wrongwrong"
    request = (
        "POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(guess)}\r\n\r\n{guess}"
    ).encode()
    cookie = cookie_of(log_in(locked, WORD, source="127.0.1.1")[0])
    with ViewerGroup(locked) as group:
        (viewer,) = group.join(headers=f"Cookie: {cookie}\r\n")
        group.wait(lambda: len(viewer.parts) > 2, "a picture")
        socks = [locked.connect(source=f"127.0.2.{number}") for number in range(1, 101)]
        for sock in socks:
            sock.sendall(request)
        seen = len(viewer.parts)
        group.wait(lambda: len(viewer.parts) > seen + 30, "the pictures go on")
        statuses = set()
        for sock in socks:
            # The viewer reads on while the guesses are being answered.
            group.wait(lambda sock=sock: is_readable(sock), "an answer")  # type: ignore[misc]
            statuses.add(int(read_to_end(sock).split()[1]))
            sock.close()
        assert statuses <= {401, 429, 503}
        (row,) = json.loads(locked.request("/status", headers=basic(WORD))[1])["viewers"]
        assert row["dropped"] == 0


def test_program_with_an_old_password_locks_no_other_out(locked: Daemon) -> None:
    def ask(*credentials: str) -> int:
        header = basic(*credentials)["Authorization"]
        request = f"GET /status HTTP/1.1\r\nHost: localhost\r\nAuthorization: {header}\r\n\r\n"
        with locked.connect(source="127.0.0.6") as sock:
            sock.sendall(request.encode())
            return read_answer(sock).status

    for _ in range(20):
        assert ask("the old one", "camera 1") == 401
        assert ask(WORD, "camera 2") == 200
    assert log_in(locked, WORD, source="127.0.0.6")[0].status == 303
    # Another client there that really guesses has to wait; the program still does not.
    statuses = [ask(f"wrong {number}", "camera 1") for number in range(30)]
    assert statuses[-1] == 429
    assert ask(WORD, "camera 2") == 200
    assert ask("the old one", "camera 1") == 401


def test_programs_that_all_ask_at_once_are_all_answered(locked: Daemon) -> None:
    header = basic(WORD)["Authorization"]
    request = f"GET /status HTTP/1.1\r\nHost: localhost\r\nAuthorization: {header}\r\n\r\n"
    socks = [locked.connect(source="127.0.0.7") for _ in range(12)]
    for sock in socks:
        sock.sendall(request.encode())
    assert {read_answer(sock).status for sock in socks} == {200}
    for sock in socks:
        sock.close()


def test_program_may_write_umlauts_in_latin_1(daemon: Daemon, tmp_path: Path) -> None:
    password = "T\u00fcrklingel"
    set_password(tmp_path / "password", password)
    daemon.start({**SMALL, "access.password_file": tmp_path / "password"})
    for encoding in ("utf-8", "latin-1"):
        credentials = b64encode(f"me:{password}".encode(encoding)).decode()
        headers = {"Authorization": f"Basic {credentials}"}
        assert daemon.request("/status", headers=headers)[0].status == 200
    credentials = b64encode("me:T\u00fcrklinge1".encode("latin-1")).decode()
    assert (
        daemon.request("/status", headers={"Authorization": f"Basic {credentials}"})[0].status
        == 401
    )


def test_guessing_from_many_addresses_has_to_wait_too(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "password"
    # As cheap as the file allows, so that this does not take minutes.
    salt, costs = b"12345678", {"n": 2, "r": 1, "p": 1}
    found = hashlib.scrypt(WORD.encode(), salt=salt, **costs)
    path.write_text(f"scrypt$2$1$1${b64encode(salt).decode()}${b64encode(found).decode()}")
    settings = {**SMALL, "access.password_file": path, "access.trusted_proxies": "127.0.0.1"}
    daemon.start(settings)

    def ask(client: str, password: str, cookie: str = "") -> Answer:
        header = basic(password)["Authorization"]
        request = "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        request += f"X-Forwarded-For: {client}\r\n"
        request += f"Cookie: {cookie}\r\n" if cookie else f"Authorization: {header}\r\n"
        with daemon.connect() as sock:
            sock.sendall(f"{request}\r\n".encode())
            return read_answer(sock)

    cookie = cookie_of(log_in(daemon, WORD, **{"X-Forwarded-For": "192.168.1.1"})[0])
    assert ask("192.168.1.2", WORD).status == 200
    clients = [f"10.{n >> 8}.{n & 255}.1" for n in range(BURST)]
    clients += [f"fd00:{n:x}::1" for n in range(100)]
    answers = [ask(client, "wrong") for client in clients]
    statuses = [answer.status for answer in answers]
    assert statuses[: BURST - 1] == [401] * (BURST - 1)
    assert statuses[-50:] == [429] * 50
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 256 * 6
    # Clients that have logged in, or always sent the right password, do not notice.
    assert ask("192.168.1.3", "", cookie).status == 200
    assert ask("192.168.1.2", WORD).status == 200
    headers = {"X-Forwarded-For": "192.168.1.1"}
    assert log_in(daemon, WORD, **headers)[0].status == 303
    newcomer = ask("192.168.1.4", WORD)
    assert newcomer.status == 429
    assert newcomer.body.startswith(b"too many wrong passwords, try again in ")


# Changing it


def test_change_ends_streams_and_sessions(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "password"
    set_password(path, WORD)
    daemon.start({**SMALL, "access.password_file": path})
    cookie = cookie_of(log_in(daemon, WORD)[0])
    with daemon.connect() as sock:
        sock.sendall(
            f"GET /video_feed HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode()
        )
        assert sock.recv(20).startswith(b"HTTP/1.1 200")
        set_password(path, OTHER)
        read_to_end(sock)
    daemon.wait_for_log("was let in by another password")
    assert daemon.request("/status", headers={"Cookie": cookie})[0].status == 401
    assert daemon.request("/status", headers=basic(WORD))[0].status == 401
    assert daemon.request("/status", headers=basic(OTHER))[0].status == 200


def test_session_survives_a_restart(daemon: Daemon, locked: Daemon) -> None:
    cookie = cookie_of(log_in(locked, WORD)[0])
    daemon.start({"access.password_file": locked.folder / "password"})
    assert daemon.request("/status", headers={"Cookie": cookie})[0].status == 200


def test_trouble_with_the_file_opens_nothing(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "password"
    set_password(path, WORD)
    daemon.start({"access.password_file": path})
    path.write_text("garbage")
    daemon.wait_for_log(f"{path}: holds no password: make one with doorbelld passwd; the password")
    path.unlink()
    daemon.wait_for_log(f"{path}: there is no such file")
    assert daemon.request("/status")[0].status == 401
    assert daemon.request("/status", headers=basic(WORD))[0].status == 200


@pytest.mark.parametrize("text", [None, "garbage", ""])
def test_daemon_does_not_start_with_a_file_that_is_no_use(
    daemon: Daemon, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "password"
    if text is not None:
        path.write_text(text)
    daemon.start({"access.password_file": path}, wait=False)
    assert daemon.wait() == 2
    assert f"[access] password_file = {path}: " in daemon.log()
    assert len(daemon.log().splitlines()) == 1


def test_credential_of_systemd_is_taken_first(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    set_password(tmp_path / "credentials" / "password", OTHER)
    set_password(tmp_path / "password", WORD)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    daemon.start({"access.password_file": tmp_path / "password"}, environ=environ)
    assert daemon.request("/status", headers=basic(WORD))[0].status == 401
    assert daemon.request("/status", headers=basic(OTHER))[0].status == 200


def test_credential_of_systemd_that_is_gone_opens_nothing(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "credentials" / "password"
    path.parent.mkdir()
    set_password(path, WORD)
    daemon.start(environ={"CREDENTIALS_DIRECTORY": str(path.parent)})
    path.unlink()
    daemon.wait_for_log(f"{path}: there is no such file")
    daemon.send(signal.SIGHUP)
    daemon.wait_for_log("the configuration was read again")
    assert daemon.request("/status")[0].status == 401
    assert daemon.request("/status", headers=basic(WORD))[0].status == 200
