"""``doorbelld embed-url``: what its addresses open, for which clients, and for how long."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from doorbelld.access.password import hashed
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.passwords import OTHER, WORD, basic, set_password
from tests.support.paths import EVERY_PATH, PICTURES
from tests.support.service_manager import ServiceManager
from tests.support.viewer_group import ViewerGroup

SMALL = {"camera.resolution": "160x120"}
EVIL = {"Origin": "http://evil.example", "Referer": "http://evil.example/page"}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*Daemon(Path()).command, "embed-url", *arguments],
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )


class Door:
    """The files of a door, and the settings by which daemon and command find them."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self.key = folder / "embed_key"
        self.password = folder / "password"
        if password:
            set_password(self.password, password)
        self.settings = {
            **SMALL,
            "access.embed_key_file": self.key,
            "access.password_file": self.password if password else None,
        }

    def token(self, *options: str) -> str:
        """Return the token in the addresses that the command prints."""
        access = {name: value for name, value in self.settings.items() if value}
        done = command(*(f"--set={name}={value}" for name, value in access.items()), *options)
        assert (done.returncode, done.stderr) == (0, "")
        first, second = re.findall(r"^http://\S+\?embed=([\w-]{43})$", done.stdout, re.MULTILINE)
        assert first == second
        return str(first)


def signed(path: str, token: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}embed={token}"


def ask(daemon: Daemon, path: str, **headers: str) -> tuple[int, str]:
    """Return the status, and which sites may show the answer."""
    answer, _ = daemon.request(path, "HEAD", headers)
    assert answer.getheader("Access-Control-Allow-Origin") is None
    return answer.status, answer.headers["Cross-Origin-Resource-Policy"]


@pytest.fixture(scope="module", params=[None, WORD], ids=["no password", "password"])
def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Daemon, str]]:
    """Return a daemon, with and without a password, and a token that is good there."""
    folder = tmp_path_factory.mktemp("door")
    files = Door(folder, request.param)
    token = files.token()
    with Daemon(folder) as found:
        found.start(files.settings, arguments=["-v"])
        eventually(lambda: found.request("/healthz")[0].status == 200, "a picture")
        yield found, token


@pytest.mark.parametrize("path", PICTURES)
def test_any_page_may_show_the_picture_by_it(door: tuple[Daemon, str], path: str) -> None:
    daemon, token = door
    assert ask(daemon, signed(path, token)) == (200, "cross-origin")
    assert ask(daemon, signed(path, token), **EVIL) == (200, "cross-origin")
    assert ask(daemon, signed(path, token), Origin="null") == (200, "cross-origin")
    assert ask(daemon, path, **EVIL) == (403, "same-origin")
    assert ask(daemon, path)[1] == "same-origin"


@pytest.mark.parametrize("path", [path for path in EVERY_PATH if path not in PICTURES])
def test_it_opens_nothing_else(door: tuple[Daemon, str], path: str) -> None:
    daemon, token = door
    assert ask(daemon, signed(path, token)) == ask(daemon, path)
    assert ask(daemon, signed(path, token), **EVIL) == (403, "same-origin")
    for method in ("POST", "PUT"):
        answer = daemon.request(signed("/snapshot.jpg", token), method)[0]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.status == daemon.request("/snapshot.jpg", method)[0].status


def test_it_does_not_change_which_clients_are_allowed(door: tuple[Daemon, str]) -> None:
    daemon, token = door
    assert ask(daemon, signed("/snapshot.jpg", token), Host="evil.example")[0] == 421


@pytest.mark.parametrize("change", ["", "x", "{}x", "{}=", "%00", "a" * 43, "%C3%A4", "%ff"])
def test_wrong_token_is_none(door: tuple[Daemon, str], change: str) -> None:
    daemon, token = door
    path = f"/snapshot.jpg?embed={change.format(token)}"
    plain = ask(daemon, "/snapshot.jpg")
    assert ask(daemon, path) == plain
    assert ask(daemon, path, **EVIL) == (403, "same-origin")


def test_wrong_token_costs_its_sender_no_wait(door: tuple[Daemon, str]) -> None:
    daemon, token = door
    for number in range(300):
        ask(daemon, f"/snapshot.jpg?embed={number}")
    assert ask(daemon, signed("/snapshot.jpg", token))[0] == 200


def test_token_is_never_logged(door: tuple[Daemon, str]) -> None:
    daemon, token = door
    paths = [signed(path, token) for path in ("/snapshot.jpg", "/nothing", "/login", "/")]
    paths += [f"/snapshot.jpg?{name}={token}" for name in ("%65mbed", "e%6Dbed", "e%6dbed")]
    paths += [f"/snapshot.jpg?{name}={token}" for name in ("x=1&embed", "x?embed", "x=?embed")]
    paths += [f"http://localhost/snapshot.jpg?embed={token}", f"/x?fps=1&embed={token}&key=x"]
    for path in paths:
        daemon.request(path, headers={"Accept": "text/html"})
    with daemon.connect() as sock:
        sock.sendall(f"GET /snapshot.jpg?embed={token} HTTP/3.0\r\n\r\n".encode())
        assert sock.recv(100)
    with daemon.connect() as sock:
        sock.sendall(f"GET {signed('/video_feed?key=by+token', token)} HTTP/1.0\r\n\r\n".encode())
        assert sock.recv(100)
        status = daemon.request("/status", headers=basic(WORD))[1].decode()
    assert token not in status
    assert token not in daemon.log()
    assert "/snapshot.jpg?embed=..." in daemon.log()


def test_wrong_token_is_explained(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start(Door(tmp_path, WORD).settings)
    answer, body = daemon.request("/snapshot.jpg?embed=old")
    assert answer.status == 401
    assert b"doorbelld embed-url prints a new one" in body


# How long it is good


def test_stream_ends_when_a_new_key_is_made(daemon: Daemon, tmp_path: Path) -> None:
    door = Door(tmp_path)
    daemon.start(door.settings)
    token = door.token()  # The running daemon notices the new key.
    path = signed("/snapshot.jpg", token)
    eventually(lambda: ask(daemon, path)[1] == "cross-origin", "the key is read")
    with ViewerGroup(daemon) as group:
        (goes,) = group.join(path=signed("/video_feed", token))
        (stays,) = group.join()
        daemon.wait_for_viewers(2)
        new = door.token("--renew")
        assert new != token
        group.wait(lambda: goes.ended, "the stream ends")
        seen = len(stays.parts)
        group.wait(lambda: len(stays.parts) > seen + 5, "the other goes on")
    assert ask(daemon, path)[1] == "same-origin"
    assert ask(daemon, signed("/snapshot.jpg", new))[1] == "cross-origin"
    assert door.token() == new, "it prints what is good"


def test_change_of_the_password_ends_what_it_opens(daemon: Daemon, tmp_path: Path) -> None:
    door = Door(tmp_path, WORD)
    token = door.token()
    daemon.start(door.settings)
    with ViewerGroup(daemon) as group:
        (goes,) = group.join(path=signed("/video_feed", token))
        group.wait(lambda: len(goes.parts) > 2, "pictures")
        set_password(door.password, OTHER)
        group.wait(lambda: goes.ended, "the stream ends")
    assert ask(daemon, signed("/snapshot.jpg", token))[0] == 401
    assert ask(daemon, signed("/snapshot.jpg", door.token()))[0] == 200


def test_removing_the_key_ends_it(daemon: Daemon, tmp_path: Path) -> None:
    door = Door(tmp_path)
    token = door.token()
    daemon.start(door.settings)
    with ViewerGroup(daemon) as group:
        (goes,) = group.join(path=signed("/video_feed", token))
        group.wait(lambda: len(goes.parts) > 2, "pictures")
        door.key.unlink()
        group.wait(lambda: goes.ended, "the stream ends")


@pytest.mark.parametrize("password", [None, WORD])
def test_restart_ends_what_is_not_good_any_more_and_nothing_else(
    daemon: Daemon, manager: ServiceManager, tmp_path: Path, password: str | None
) -> None:
    door = Door(tmp_path, password)
    token = door.token()
    manager.start(daemon, door.settings)
    header = f"Authorization: {basic(WORD)['Authorization']}\r\n"
    with ViewerGroup(daemon) as group:
        (by_token,) = group.join(path=signed("/video_feed", token))
        (stays,) = group.join(headers=header)
        group.wait(lambda: min(len(by_token.parts), len(stays.parts)) > 2, "pictures")
        manager.restart(daemon, door.settings)
        seen = len(by_token.parts)
        group.wait(lambda: len(by_token.parts) > seen + 5, "it goes on in the next process")
        assert daemon.stop() == 0
        door.token("--renew")
        manager.start(daemon, door.settings)
        group.wait(lambda: by_token.ended, "the stream ends")
        seen = len(stays.parts)
        group.wait(lambda: len(stays.parts) > seen + 5, "the other goes on")


# The file


@pytest.mark.parametrize("how", ["garbage", "empty", "pipe", "folder"])
def test_file_that_is_no_use_opens_nothing_and_is_logged_once(
    daemon: Daemon, tmp_path: Path, how: str
) -> None:
    door = Door(tmp_path)
    token = door.token()
    daemon.start(door.settings)
    path = signed("/snapshot.jpg", token)
    assert ask(daemon, path)[1] == "cross-origin"
    new = tmp_path / "new"
    if how == "pipe":
        os.mkfifo(new)
    elif how == "folder":
        door.key.unlink()
        new.mkdir()
    else:
        new.write_text("garbage" * (how == "garbage"))
    new.replace(door.key)
    daemon.wait_for_log(f"{door.key}: .*; embed URLs do not work")
    assert ask(daemon, path)[1] == "same-origin"
    if how == "folder":
        door.key.rmdir()
    token = door.token("--renew")
    path = signed("/snapshot.jpg", token)
    eventually(lambda: ask(daemon, path)[1] == "cross-origin", "the new key is read")
    assert daemon.log().count("embed URLs do not work") == 1


def test_key_is_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    door = Door(tmp_path)
    token = door.token()
    assert stat.S_IMODE(door.key.stat().st_mode) == 0o600
    assert token not in door.key.read_text()
    assert door.token() == token
    assert [each.name for each in tmp_path.iterdir()] == ["embed_key"]


def test_addresses_are_those_of_the_picture(tmp_path: Path) -> None:
    settings = [f"--set=access.embed_key_file={tmp_path / 'key'}", "--set=server.listen=1.2.3.4:80"]
    first, second, *advice = command(*settings).stdout.splitlines()
    assert [urlsplit(each)._replace(query="").geturl() for each in (first, second)] == [
        "http://1.2.3.4/video_feed",
        "http://1.2.3.4/snapshot.jpg",
    ]
    assert "doorbelld embed-url --renew" in " ".join(advice)
    assert "password" not in " ".join(advice)
    (tmp_path / "password").write_text(hashed(WORD))
    settings.append(f"--set=access.password_file={tmp_path / 'password'}")
    assert "without the password" in command(*settings).stdout


@pytest.mark.parametrize(
    ("setting", "code", "why"),
    [
        ("embed_key_file=none", 2, "[access] embed_key_file = none: there is no place for the key"),
        (
            "embed_key_file=/missing/key",
            1,
            "/missing/key: the folder /missing is missing; make it first",
        ),
        ("embed_key_file=/dev/null", 1, "/dev/null: is no file"),
        ("embed_key_file=/etc/hostname", 1, "/etc/hostname: holds no key: make one with"),
        ("password_file=/etc/hostname", 2, "[access] password_file = /etc/hostname: holds no"),
    ],
)
def test_command_says_what_is_wrong(tmp_path: Path, setting: str, code: int, why: str) -> None:
    settings = [f"--set=access.embed_key_file={tmp_path / 'key'}", f"--set=access.{setting}"]
    done = command(*settings)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"ERROR: {why}")
    assert len(done.stderr.splitlines()) == 1
