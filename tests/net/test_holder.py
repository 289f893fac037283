from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from doorbelld.net import holder
from doorbelld.net.holder import Holder

OWN = Holder(os.getpid(), Path("/proc/self/comm").read_text(encoding="utf-8").strip())


def listener(host: str) -> tuple[socket.socket, int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, 0), family=family)
    return sock, sock.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("127.0.0.1", ["127.0.0.1", "", "0.0.0.0", "::", "localhost"]),
        ("::1", ["::1", "", "::"]),
        ("0.0.0.0", ["127.0.0.1", "192.0.2.1", ""]),
        ("::", ["::1", "127.0.0.1", ""]),
    ],
)
def test_who_listens_is_found_by_every_address_in_the_way(host: str, asked: list[str]) -> None:
    sock, port = listener(host)
    with sock:
        for each in asked:
            assert holder.find(each, port) == OWN, each
    assert str(OWN) == f"{OWN.name} (pid {OWN.pid})"


def test_who_is_not_in_the_way_is_not_found() -> None:
    sock, port = listener("127.0.0.1")
    with sock, socket.create_connection(("127.0.0.1", port)) as client:
        assert holder.find("127.0.0.2", port) is None
        assert holder.find("", client.getsockname()[1]) is None, "it does not listen"
    assert holder.find("", port) is None


@pytest.mark.process
def test_of_several_the_oldest_is_named() -> None:
    sock, port = listener("127.0.0.1")
    with sock:
        command = [sys.executable, "-S", "-c", "print(flush=True); input()"]
        with subprocess.Popen(
            command, pass_fds=[sock.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as worker:
            assert worker.stdout
            worker.stdout.readline()
            assert holder.find("", port) == OWN
            sock.close()
            found = holder.find("", port)
            assert found
            assert found.pid == worker.pid
            worker.communicate(b"\n")


def test_systemd_and_doorbelld_are_not_another_program() -> None:
    assert Holder(1, "systemd").is_ours
    assert Holder(77, "doorbelld").is_ours
    assert not Holder(77, "systemd").is_ours
    assert not Holder(1, "nginx").is_ours
    assert not Holder().is_ours
    assert str(Holder()) == "another program"


def test_the_oldest_is_the_one_that_started_first_whatever_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock, port = listener("127.0.0.1")
    with sock:
        inode = os.fstat(sock.fileno()).st_ino
        for pid, name, started in ((900, "first", 100), (5, "a) b (c", 200), (901, "last", 300)):
            process = tmp_path / str(pid)
            (process / "fd").mkdir(parents=True)
            (process / "fd" / "3").symlink_to(f"socket:[{inode}]")
            (process / "comm").write_text(f"{name}\n")
            (process / "stat").write_text(f"{pid} ({name}) S {'0 ' * 18}{started} 0 0\n")
        monkeypatch.setattr(holder, "_PROC", tmp_path)
        assert holder.find("", port) == Holder(900, "first")
