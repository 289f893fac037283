"""Secrets are read from files that are readable by one user alone, and from credentials."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from doorbelld.system import files, secretfile
from doorbelld.system.secretfile import SecretError

MARKER = "tk_mArKeR"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    write(path, f"{MARKER}\n")
    return path


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def refusal(path: Path) -> str:
    """Return the sentence that says why the secret is not used; it does not show the secret."""
    with pytest.raises(SecretError) as raised:
        secretfile.read_given(path, "ntfy_token")
    error: BaseException | None = raised.value
    assert error is not None
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert MARKER not in str(error)
    assert len(str(error).splitlines()) == 1
    return str(error)


def test_secret_is_the_line_in_the_file(path: Path) -> None:
    assert secretfile.read_given(path, "ntfy_token") == MARKER


@pytest.mark.parametrize("text", ["mot de passe ", " two words", "größer", "a", "x" * 4096])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_every_character_of_it_counts(path: Path, text: str, end: str) -> None:
    path.write_bytes(f"{text}{end}".encode())
    assert secretfile.read_given(path, "ntfy_token") == text


def test_there_may_be_none() -> None:
    assert secretfile.read_given(None, "ntfy_token") is None


def test_new_secret_is_used_at_once(path: Path) -> None:
    assert secretfile.read_given(path, "ntfy_token") == MARKER
    write(path, "another")
    assert secretfile.read_given(path, "ntfy_token") == "another"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o601])
def test_file_that_others_can_use_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert refusal(path) == f"{path} can be used by other users: sudo chmod 600 {path}"
    path.chmod(0o600)
    assert secretfile.read_given(path, "ntfy_token") == MARKER


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_file_of_one_user_alone_is_good(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert secretfile.read_given(path, "ntfy_token") == MARKER


@pytest.mark.parametrize("text", ["", "\n", "  \n"])
def test_empty_file_is_said(path: Path, text: str) -> None:
    write(path, text)
    assert refusal(path) == f"{path} is empty: write the secret into it"


@pytest.mark.parametrize(
    "text", [f"{MARKER}\r\nHost: x", f"{MARKER}\nmore", f"{MARKER}\0", f"{MARKER}{'x' * 4096}"]
)
def test_what_would_be_more_than_a_header_is_refused(path: Path, text: str) -> None:
    write(path, text)
    assert refusal(path) == f"{path} has more than one line of text: it must hold the secret alone"


def test_bytes_that_are_no_text_are_refused(path: Path) -> None:
    path.write_bytes(MARKER.encode() + b"\xff")
    assert refusal(path) == f"{path} is not UTF-8 text: write the secret into it again"


def test_missing_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "token"
    assert refusal(path) == f"{path} does not exist: write the secret into it, with the mode 600"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} cannot be read: Is a directory"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert refusal(pipe) == f"{pipe} cannot be read: it is a named pipe"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        assert refusal(tmp_path / "socket").endswith("cannot be read: it is a socket")
    assert refusal(Path(os.devnull)) == "/dev/null is empty: write the secret into it"


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("/etc/doorbelld/token", "sudo chown {user} /etc/doorbelld/token"),
        ("/home/anton/token", "the service sees nothing in /home; move the file"),
    ],
)
def test_file_of_another_user_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, path: Path, place: str, remedy: str
) -> None:
    status = path.stat()

    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", lambda _: status)
    monkeypatch.setattr(files, "read", refuse)
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert refusal(Path(place)) == f"{place} cannot be read: {remedy.format(user=user)}"


def test_credential_of_systemd_comes_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: Path
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    # systemd sets an access control list, which shows as rights of the group.
    write(folder / "ntfy_token", "of the manager\n", mode=0o440)
    assert secretfile.read_given(path, "ntfy_token") == "of the manager"
    assert secretfile.read_given(None, "ntfy_token") == "of the manager"
    assert secretfile.read_given(path, "mqtt_password") == MARKER
    write(folder / "ntfy_token", "", mode=0o640)
    assert refusal(path) == "the credential ntfy_token is empty: write the secret into it"
