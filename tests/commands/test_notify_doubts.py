"""What would keep a message from arriving is found before anyone waits for one."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import pytest

from doorbelld.commands import notify
from doorbelld.commands.notify import Filter, Place
from doorbelld.config.schema import Config
from doorbelld.notify.target import MQTT_PASSWORD, NTFY_TOKEN
from tests.support.ports import free_port
from tests.support.secure import make_pair, server_context

if TYPE_CHECKING:
    import ssl

EVERYTHING = ("0.0.0.0/0", "::/0")
LOCAL = ("127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/64")
NTFY_SH = "159.203.148.75"


def place(
    port: int, name: str = "ntfy", *, is_secure: bool = False, path: Path | None = None
) -> Place:
    credential = MQTT_PASSWORD if name == "mqtt" else NTFY_TOKEN
    return Place(name, "127.0.0.1", port, is_secure, ((path, credential),))


def far(host: str, name: str = "ntfy") -> Place:
    return Place(name, host, 443, True, ())


def about(*places: Place, as_service: bool = False) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notify, "places", lambda _: list(places))
        return list(notify.about(Config(), as_service=as_service))


@pytest.fixture(autouse=True)
def open_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no systemd of the machine that runs the tests take part."""
    monkeypatch.setattr(notify, "read_filter", Filter)


@pytest.fixture
def port() -> Iterator[int]:
    """Return the port of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_nothing_is_said_of_what_is_not_configured() -> None:
    assert about() == []


def test_server_that_answers_is_said(port: int, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o600)
    assert about(place(port, path=path)) == [f"Notify: ntfy: 127.0.0.1 answers at port {port}."]


def test_nothing_listens_there() -> None:
    port = free_port()
    assert about(place(port), place(port, "webhook")) == [
        f"Notify: {name}: 127.0.0.1:{port} does not listen at that port; check that it runs,"
        " and the port."
        for name in ("ntfy", "webhook")
    ]


def test_secret_that_others_can_read_is_said(port: int, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("mArKeR")
    path.chmod(0o644)
    assert about(place(port, path=path)) == [
        f"Notify: ntfy: {path} can be used by other users: sudo chmod 600 {path}."
    ]
    path.unlink()
    assert about(place(port, path=path)) == [
        f"Notify: ntfy: {path} does not exist: write the secret into it, with the mode 600."
    ]


def test_secret_in_a_home_is_hidden_from_the_service(port: int) -> None:
    path = Path("/home/anton/token")
    assert about(place(port, path=path), as_service=True) == [
        f"Notify: ntfy: {path}: the service sees nothing in /home; move it to /etc/doorbelld."
    ]


def test_other_users_are_shown_the_command_that_may_read_it(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    path = tmp_path / "token"
    assert about(place(port, path=path)) == [
        f"Notify: ntfy: only root may check {path}: sudo doorbelld --check."
    ]


def test_missing_library_is_said(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert about(place(port, "mqtt")) == [
        "Notify: mqtt: paho-mqtt is not installed: sudo apt install python3-paho-mqtt."
    ]
    assert about(place(port)) == [f"Notify: ntfy: 127.0.0.1 answers at port {port}."]


def shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    with connection, pytest.raises(OSError):  # noqa: PT011  # the client refuses in many ways
        context.wrap_socket(connection, server_side=True)


@pytest.mark.process
def test_certificate_that_is_not_trusted_is_said(tmp_path: Path) -> None:
    context = server_context(make_pair(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake_hands, args=(listener, context))
        thread.start()
        port = listener.getsockname()[1]
        [said] = about(place(port, is_secure=True))
        thread.join()
    assert said.startswith(f"Notify: ntfy: 127.0.0.1:{port} has a certificate that is signed by an")
    assert "run sudo update-ca-certificates" in said


def test_name_that_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    [said] = about(far("nas.lan"))
    assert said.startswith("Notify: ntfy: nas.lan has a name that is not found; check the URL")


def test_resolver_that_hangs_delays_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    hung = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hung.wait() and [])
    monkeypatch.setattr(notify, "_TO_LOOK", 0.1)
    assert about(far("nas.lan")) == ["Notify: ntfy: nas.lan was not found in 0.1 s."]
    hung.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(30)


# The filter


@pytest.mark.parametrize(
    ("allowed", "denied", "passes", "hidden"),
    [
        ((), (), [NTFY_SH, "192.168.1.9", "fd00::5", "::1"], []),
        (
            LOCAL,
            EVERYTHING,
            ["127.0.0.53", "::1", "fe80::1%eth0"],
            [NTFY_SH, "10.0.0.1", "fd00::5"],
        ),
        ((*LOCAL, "10.0.0.1/32"), EVERYTHING, ["10.0.0.1", "::ffff:10.0.0.1"], ["10.0.0.2"]),
        (EVERYTHING, EVERYTHING, [NTFY_SH, "2001:db8::1"], []),
        ((), ("10.0.0.0/8",), [NTFY_SH, "fd00::5"], ["10.1.2.3", "::ffff:10.1.2.3"]),
        (("fd00::/8",), ("::/0",), ["fd00::5", "10.0.0.1"], ["2001:db8::1"]),
    ],
)
def test_filter_lets_pass_what_systemd_does(
    allowed: tuple[str, ...], denied: tuple[str, ...], passes: list[str], hidden: list[str]
) -> None:
    rules = Filter(allowed, denied)
    assert [each for each in passes if not rules.passes(each)] == []
    assert [each for each in hidden if rules.passes(each)] == []


def filtered(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, list[str]], name_servers: str = "127.0.0.53"
) -> list[str]:
    """Return what is said of a unit that may reach only this machine."""
    monkeypatch.setattr(notify, "read_filter", lambda: Filter(LOCAL, EVERYTHING))
    with NamedTemporaryFile("w") as resolver:
        resolver.write("".join(f"nameserver {each}\n" for each in name_servers.split()))
        resolver.flush()
        monkeypatch.setattr(notify, "_RESOLVER", Path(resolver.name))
        targets = [far(f"{name}.lan", name) for name in found]
        return list(notify.about_the_filter(targets, found))


OPENS = "Notify: this opens the filter at once, and for good: sudo systemctl set-property"
UNIT = "doorbelld.service"


def test_one_command_opens_the_filter_for_all_that_it_hides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {"mqtt": ["192.168.1.9", "fd00::9"], "webhook": ["10.0.0.1"], "ntfy": ["127.0.0.1"]}
    assert filtered(monkeypatch, found) == [
        f"Notify: mqtt: the IP filter of {UNIT} hides mqtt.lan from it.",
        f"Notify: webhook: the IP filter of {UNIT} hides webhook.lan from it.",
        f'{OPENS} {UNIT} IPAddressAllow="10.0.0.1 192.168.1.9 fd00::9"',
    ]


def test_services_on_the_internet_may_change_their_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {"ntfy": [NTFY_SH], "mqtt": ["192.168.1.9"]}
    assert filtered(monkeypatch, found)[-1] == f"{OPENS} {UNIT} IPAddressAllow=any"


def test_one_address_that_passes_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert filtered(monkeypatch, {"ntfy": ["127.0.0.1", "10.0.0.1"]}) == []
    assert filtered(monkeypatch, {}) == []


def test_hidden_name_server_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert filtered(monkeypatch, {"ntfy": []}, "192.168.1.1 fe80::1%eth0 fd00::1") == []
    assert filtered(monkeypatch, {"ntfy": []}, "192.168.1.1 fd00::1") == [
        f"Notify: ntfy: the IP filter of {UNIT} hides the name server from it.",
        f'{OPENS} {UNIT} IPAddressAllow="192.168.1.1 fd00::1"',
    ]


@pytest.mark.parametrize("host", ["192.168.1.9", "fd00::9", "nas.local", "localhost", "Nas.lan"])
def test_some_need_no_name_server(
    host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1\tlocalhost\n192.168.1.9 nas.lan nas\n")
    monkeypatch.setattr(notify, "_HOSTS", tmp_path / "hosts")
    monkeypatch.setattr(notify, "read_filter", lambda: Filter(LOCAL, EVERYTHING))
    monkeypatch.setattr(notify, "_name_servers", lambda: ["192.168.1.1"])
    assert list(notify.about_the_filter([far(host)], {"ntfy": ["127.0.0.1"]})) == []


SHOWN = """IPAddressAllow=::1/128 127.0.0.0/8
IPAddressDeny=::/0 0.0.0.0/0

IPAddressAllow=10.0.0.0/8
IPAddressDeny=

IPAddressAllow=
IPAddressDeny=
"""
"""What systemctl of 247, 252 and 257 prints for the unit and the slices above it."""


@pytest.mark.process
def test_filter_is_read_from_systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat << X\n{SHOWN}X\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert notify.read_filter() == Filter(
        ("::1/128", "127.0.0.0/8", "10.0.0.0/8"), ("::/0", "0.0.0.0/0")
    )
    asked = (tmp_path / "asked").read_text()
    assert asked.endswith("-- doorbelld.service system.slice -.slice\n")
    systemctl.write_text("#!/bin/sh\necho 'System has not been booted with systemd' >&2\nexit 1\n")
    assert notify.read_filter() == Filter()
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert notify.read_filter() == Filter()
