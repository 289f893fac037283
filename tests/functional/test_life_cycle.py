"""From the start to a clean end: signals, reloads, listeners, and drivers that never return."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path

import pytest

from doorbelld.media import jpeg as product
from tests.support.condition import Condition
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.ports import free_port
from tests.support.raw import read_answer, read_to_end
from tests.support.service_manager import environment_of_the_unit
from tests.support.sitecustomize import sitecustomize
from tests.support.stream import Stream

VIEWERS = 100
BROWSER = "image/avif,image/webp,*/*"

HANGING = """
import os, time
from doorbelld.camera.pattern import PatternCamera
before = PatternCamera.{method}
def hang(*arguments):
    while os.path.exists({flag!r}):
        time.sleep(3600)
    return before(*arguments)
PatternCamera.{method} = hang
"""
"""A sitecustomize module: the test card's driver hangs for good once the flag, a file, is there."""

NO_IPV6 = """
import errno, socket
before = socket.socket.__init__
def init(self, family=-1, *rest, **more):
    if family == socket.AF_INET6:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
    before(self, family, *rest, **more)
socket.socket.__init__ = init
"""
"""A sitecustomize module: the error of a kernel that was started without IPv6."""


RARELY_USED = {"ctypes", "tempfile", "urllib.request"}
"""Modules that take memory, and that a daemon whose camera sends JPEG needs seldom, or never."""


def write(path: Path, camera: str = "", server: str = "") -> Path:
    """Write a configuration file of ``key=value`` words."""
    texts = [f"[camera]\n{camera}", f"[server]\n{server}"]
    path.write_text("\n".join(text.replace(" ", "\n") for text in texts) + "\n")
    return path


def start_with(daemon: Daemon, path: Path) -> Daemon:
    """Start a daemon whose camera is set by the file."""
    daemon.start({"camera.source": None}, arguments=["--config", str(path)])
    daemon.wait_for_state("streaming")
    return daemon


def reload(daemon: Daemon) -> str:
    """Reload the configuration; return what is logged about it."""
    done = r"the configuration (?:was read again|stays as it was)"
    before = len(daemon.log())
    daemon.send(signal.SIGHUP)
    eventually(lambda: re.search(done, daemon.log()[before:]), "the configuration read again")
    return daemon.log()[before:]


def ports(daemon: Daemon) -> list[int]:
    return [int(port) for port in re.findall(r"open http://\S+:(\d+)/", daemon.log())]


def without_ipv6(*commands: str) -> list[str]:
    """Return a command that turns IPv6 off, in a network of its own, for the one after it."""
    as_user = ["--map-root-user"] if os.geteuid() else []
    off = "sysctl -q -w net.ipv6.conf.all.disable_ipv6=1"
    script = " && ".join([off, "ip link set lo up", *commands, 'exec "$@"'])
    return ["unshare", "--net", "--mount", *as_user, "sh", "-c", script, "sh"]


def ask_inside(daemon: Daemon) -> str:
    """Send a request from inside the daemon's network."""
    as_user = ["--user", "--preserve-credentials"] if os.geteuid() else []
    command = ["nsenter", f"--target={daemon.pid}", "--net", *as_user, "curl", "--silent"]
    url = f"http://127.0.0.1:{daemon.port}/status"
    return subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout


def ask(address: str, port: int) -> bytes:
    with socket.create_connection((address, port)) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        return read_answer(sock).body


# Stopping.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_ends_every_stream_properly(
    daemon: Daemon, pipe_camera: PipeCamera, number: signal.Signals
) -> None:
    daemon.start({"camera.source": pipe_camera.source, "camera.stall_timeout": 3600})
    pipe_camera.show(jpeg(1))
    daemon.wait_for_state("streaming")
    with ExitStack() as stack:
        plain = [stack.enter_context(Stream(daemon)) for _ in range(VIEWERS // 2)]
        browsers = [
            stack.enter_context(Stream(daemon, accept=BROWSER)) for _ in range(VIEWERS // 2)
        ]
        for stream in plain:
            assert stream.part().body == jpeg(1)
        daemon.wait_for_viewers(VIEWERS)
        daemon.send(number)
        assert daemon.wait() == 0
        for stream in plain:
            with pytest.raises(EOFError):
                stream.part()
            assert stream.file.read() == b"", "a FIN, and no reset"
        for stream in browsers:
            # Only the header block of a part that never came may follow.
            assert stream.file.read().partition(jpeg(1))[2].endswith(b"\r\n\r\n")
    assert f"{number.name}: stopping" in daemon.log()
    assert "left behind" not in daemon.log()


def test_stop_closes_every_other_connection_too(daemon: Daemon) -> None:
    daemon.start()
    with daemon.connect() as silent, daemon.connect() as dripping, daemon.connect() as idle:
        dripping.sendall(b"GET / HT")
        idle.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        read_answer(idle)
        assert daemon.stop() == 0
        assert idle.recv(1) == b""
        assert silent.recv(1) == b""
        with pytest.raises(ConnectionError):  # what it has sent will never be read
            dripping.recv(1)


def test_signals_while_it_stops_change_nothing(daemon: Daemon) -> None:
    daemon.start()
    daemon.wait_for_state("streaming")
    daemon.send(signal.SIGTERM)
    give_up_at = time.monotonic() + GUARD
    for number in cycle([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]):
        daemon.send(number)
        with suppress(subprocess.TimeoutExpired):
            assert daemon.process.wait(0.001) == 0
            break
        assert time.monotonic() < give_up_at, "it still stops"
    assert daemon.log().endswith(": stopping\n")


@pytest.mark.parametrize("method", ["open", "read", "close"])
def test_driver_that_never_returns_does_not_keep_it_alive(
    daemon: Daemon, tmp_path: Path, method: str
) -> None:
    flag = tmp_path / "hang"
    code = HANGING.format(flag=str(flag), method=method)
    if method == "open":
        flag.touch()
    daemon.start(environ=sitecustomize(tmp_path, "hanging", code))
    with Stream(daemon) as stream:
        if method != "open":
            stream.part()
            flag.touch()
        daemon.wait_for_viewers(1)
        if method == "read":
            eventually(lambda: daemon.status()["camera"]["age_ms"] > 500, "no more pictures")
        daemon.send(signal.SIGTERM)
        data = read_to_end(stream.socket)
        assert daemon.wait() == 0
    assert data.endswith(b"X-Ended: ")
    assert "left behind, still at work: capture" in daemon.log()


def test_stop_leaves_nothing_behind(daemon: Daemon, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environ = {"PYTHONDEVMODE": "1", "TMPDIR": str(scratch), "HOME": str(scratch)}
    daemon.start(environ=environ, start_new_session=True)
    with Stream(daemon) as stream, daemon.connect():
        stream.part()
        assert daemon.stop() == 0
    assert not re.search(r"(doorbelld/[\w/]+\.py:\d+|sys:1): \w+Warning", daemon.log()), (
        daemon.log()
    )
    assert list(scratch.iterdir()) == []
    with pytest.raises(ProcessLookupError):  # no process of its group is left
        os.killpg(daemon.pid, 0)


def test_starts_again_at_once_while_old_connections_linger(daemon: Daemon) -> None:
    daemon.start()
    with Stream(daemon) as stream, daemon.connect() as idle:
        stream.part()
        daemon.status()
        assert daemon.stop() == 0
        daemon.start(wait=False)
        eventually(lambda: len(ports(daemon)) == 2, "listening again")
        assert ports(daemon) == [daemon.port] * 2
        with Stream(daemon) as again:
            again.part()
        assert idle.recv(1) == b""


# Reading the configuration again.


def test_reload_changes_camera_name_and_limits_and_drops_no_viewer(
    daemon: Daemon, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures.mjpeg"
    pictures.write_bytes(jpeg(3))
    path = write(tmp_path / "x.conf", "source=pattern resolution=160x120 name=Gate")
    start_with(daemon, path)
    with Stream(daemon, "/video_feed?key=a") as stream, Stream(daemon, "/video_feed?key=b"):
        assert product.size(stream.part().body) == (160, 120)
        before = daemon.wait_for_viewers(2)
        limits = {"max_viewers": 1, "max_requests": 2, "header_timeout": 3, "stall_timeout": 4}
        server = " ".join(f"{key}={value}" for key, value in limits.items())
        write(path, f"source=file:{pictures} name=Garden", server)
        assert "the configuration was read again" in reload(daemon)
        eventually(lambda: stream.part().body == jpeg(3), "the other camera's picture")
        status = daemon.status()
        assert status["camera"]["name"] == "Garden"
        assert status["camera"]["source"] == f"file:{pictures}"
        assert status["limits"] == limits
        assert b"<title>Garden</title>" in daemon.request("/")[1]
        after = daemon.wait_for_viewers(2)
        assert [row["since"] for row in after] == [row["since"] for row in before]
        assert daemon.request("/video_feed")[0].status == 503


def test_reload_of_a_broken_file_changes_nothing_and_says_where(
    daemon: Daemon, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.conf", "source=pattern name=Gate", "max_viewers=2")
    start_with(daemon, path)
    with Stream(daemon) as stream:
        write(path, "source=pattern name=Garden rotation=45", "max_viewers=many")
        said = reload(daemon)
        assert f"{path}:4: [camera] rotation = 45: must be 0, 90, 180 or 270" in said
        assert f"{path}:6: [server] max_viewers = many: must be a whole number" in said
        assert "the configuration stays as it was" in said
        path.unlink()
        assert f"{path}: cannot be read: No such file or directory" in reload(daemon)
        status = daemon.status()
        assert (status["camera"]["name"], status["limits"]["max_viewers"]) == ("Gate", 2)
        assert status["camera"]["state"] == "streaming"
        stream.part()
        write(path, "source=pattern name=Mended")
        assert "stays" not in reload(daemon)
        assert daemon.status()["camera"]["name"] == "Mended"


def test_reload_says_that_another_address_takes_a_restart(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.conf", "source=pattern", "listen=127.0.0.1:0")
    daemon.start({"server.listen": None}, arguments=["--config", str(path)])
    said = "listen has changed: that takes a restart"
    assert said not in reload(daemon)
    write(path, "source=pattern", "listen=127.0.0.1:1")
    assert said in reload(daemon)
    assert said in reload(daemon), "it still does"
    assert daemon.status()["camera"]["source"] == "pattern"
    write(path, "source=pattern", "listen=127.0.0.1:0")
    assert said not in reload(daemon), "all is as it was"


def test_many_reloads_leave_nothing_behind(daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "x.conf", "source=pattern")
    start_with(daemon, path)

    before = Condition.of(daemon.pid)
    for count in range(20):
        write(path, f"source=pattern quality={50 + count}", f"max_requests={2 - count % 2}")
        reload(daemon)
        daemon.status()
    before.wait_until_back()


# Listening.


def program(pid: int) -> str:
    """Return how a process is named when it has the port."""
    name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    return f"{name} (pid {pid})"


def in_use(place: str, by: str) -> str:
    return (
        f"ERROR: cannot listen on {place}: Address already in use by {by};"
        " stop that program, or choose another port, such as listen = :8080\n"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", ""])
def test_address_in_use_is_reported_in_one_line_with_the_program(daemon: Daemon, host: str) -> None:
    family = socket.AF_INET if host == "127.0.0.1" else socket.AF_INET6
    with socket.socket(family) as other:
        other.bind((host.strip("[]") or "::", 0))
        other.listen()
        place = f"{host}:{other.getsockname()[1]}"
        daemon.start({"server.listen": f"127.0.0.1:0,{place}"}, wait=False)
        assert daemon.wait() == 1
    assert daemon.log() == in_use(place, program(os.getpid()))


def test_every_address_in_use_is_reported(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        ports = [each.getsockname()[1] for each in (one, other)]
        daemon.start({"server.listen": ",".join(f"127.0.0.1:{p}" for p in ports)}, wait=False)
        assert daemon.wait() == 1
    by = program(os.getpid())
    assert daemon.log() == "".join(in_use(f"127.0.0.1:{port}", by) for port in ports)


def test_port_that_is_bound_without_listening_is_in_use_too(daemon: Daemon) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{other.getsockname()[1]}"
        daemon.start({"server.listen": place}, wait=False)
        assert daemon.wait() == 1
    assert daemon.log() == in_use(place, "another program")


def test_unknown_host_name_is_reported_in_one_line(daemon: Daemon) -> None:
    daemon.start({"server.listen": "no.such.host.invalid:0"}, wait=False)
    assert daemon.wait() == 1
    assert re.fullmatch(
        r"ERROR: cannot listen on no\.such\.host\.invalid:0: [\w ]+\n", daemon.log()
    )


def test_privileged_port_is_reported_with_a_remedy(daemon: Daemon) -> None:
    as_user = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    # On some systems every user may have every port.
    prefix = without_ipv6("sysctl -q -w net.ipv4.ip_unprivileged_port_start=1024")
    unmeasured = {"COVERAGE_PROCESS_CONFIG": ""}  # That user cannot write its data.
    settings = {"server.listen": ":80"}
    daemon.start(settings, prefix=[*prefix, *as_user], environ=unmeasured, wait=False)
    assert daemon.wait() == 1
    assert daemon.log() == (
        "ERROR: cannot listen on :80: Permission denied;"
        " for a port below 1024 enable doorbelld.socket, see man doorbelld\n"
    )


@pytest.mark.parametrize(
    "places",
    [
        ":{0}, :{0}",
        "127.0.0.1:{0}, :{0}",
        "0.0.0.0:{0}, [::]:{0}",
        "[::]:{0}, 0.0.0.0:{0}, 127.0.0.1:{0}",
        "localhost:{0}, 127.0.0.1:{0}",
    ],
)
def test_address_that_another_one_covers_is_no_conflict(daemon: Daemon, places: str) -> None:
    port = free_port()
    daemon.start({"server.listen": places.format(port)})
    assert ask("127.0.0.1", port)
    assert "cannot listen" not in daemon.log()


def test_one_listener_serves_both_kinds_of_addresses(daemon: Daemon) -> None:
    daemon.start({"server.listen": ":0"})
    for address in ("127.0.0.1", "::1"):
        with socket.create_connection((address, daemon.port)) as sock:
            sock.sendall(b"GET /video_feed HTTP/1.1\r\n\r\n")
            (row,) = daemon.wait_for_viewers(1)
            assert row["address"] == address
        daemon.wait_for_viewers(0)


def test_listens_on_every_configured_address_and_no_other(daemon: Daemon) -> None:
    daemon.start({"server.listen": "127.0.0.1:0, [::1]:0, 127.0.0.3:0"})
    eventually(lambda: len(ports(daemon)) == 3, "three addresses in the log")
    for host, port in re.findall(r"open http://(\S+):(\d+)/", daemon.log()):
        assert ask(host.strip("[]"), int(port))
        with pytest.raises(ConnectionRefusedError):
            ask("127.0.0.2", int(port))


def test_listens_on_ipv4_where_ipv6_is_turned_off(daemon: Daemon) -> None:
    daemon.start({"server.listen": ":0"}, prefix=without_ipv6())
    assert '"version"' in ask_inside(daemon)


def test_listens_on_ipv4_where_the_kernel_has_no_ipv6(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start({"server.listen": ":0"}, environ=sitecustomize(tmp_path, "ipv4", NO_IPV6))
    assert daemon.status()["version"]
    with pytest.raises(ConnectionRefusedError):
        ask("::1", daemon.port)


def test_name_with_an_address_that_is_off_stands_for_the_others(
    daemon: Daemon, tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 doorbell.test\n127.0.0.1 doorbell.test\n")
    prefix = without_ipv6(f"mount --bind {hosts} /etc/hosts")
    daemon.start({"server.listen": "doorbell.test:0"}, prefix=prefix)
    assert '"version"' in ask_inside(daemon)


def loaded(daemon: Daemon) -> set[str]:
    """Return the modules that were loaded, as Python has logged it."""
    return set(re.findall(r"^import time: .*\| +(\S+)$", daemon.log(), re.MULTILINE))


def test_what_is_rarely_used_is_not_loaded(daemon: Daemon, tmp_path: Path) -> None:
    camera = tmp_path / "camera.mjpeg"
    camera.write_bytes(b"".join(map(jpeg, range(3))))
    # If the camera starts slowly, OpenCV draws a card, and loads some of them.
    (tmp_path / "cv2.py").write_text("raise ImportError\n")
    environ = {"PYTHONPROFILEIMPORTTIME": "1", "PYTHONPATH": str(tmp_path)}
    environ["STATE_DIRECTORY"] = str(tmp_path)
    daemon.start({"camera.source": f"file:{camera}"}, environ=environ)
    daemon.wait_for_state("streaming")
    with Stream(daemon) as stream:
        stream.part()
        for path in ("/", "/app.css", "/healthz", "/snapshot.jpg", "/visits", "/visits.json"):
            assert daemon.request(path)[0].status in (200, 404), path
    assert "doorbelld.daemon" in loaded(daemon)
    assert loaded(daemon) & RARELY_USED == set()


def areas(daemon: Daemon) -> int:
    """Return how many areas glibc's malloc has reserved: each is 64 MB, at a multiple of that."""
    maps = Path(f"/proc/{daemon.pid}/maps").read_text()
    return len(re.findall(r"^[0-9a-f]+-[0-9a-f]*[048c]0{6} ---p ", maps, re.MULTILINE))


def test_threads_of_the_service_share_areas_of_memory(daemon: Daemon, tmp_path: Path) -> None:
    camera = tmp_path / "camera.mjpeg"
    camera.write_bytes(b"".join(map(jpeg, range(3))))
    environ = {**environment_of_the_unit(), "STATE_DIRECTORY": str(tmp_path)}
    daemon.start({"camera.source": f"file:{camera}"}, environ=environ)
    daemon.wait_for_state("streaming")
    assert areas(daemon) == 1  # besides the one in which the process began
