"""The servers to measure: how to start and stop each of them, and where its stream is."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import material

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
WEBCAM = "/dev/video9"
_FIRST_PORT = 18080
_START_TIMEOUT = 10.0
_FLAGS = ("-O2", "-Wall", "-Wextra")


@dataclass(frozen=True)
class Server:
    """How to start a server; ``{host}`` and ``{port}`` in the command are filled in."""

    name: str
    command: Sequence[str]
    path: str = "/"
    environment: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def run(
        self, host: str = LOOPBACK, port: int = 0, prefix: Sequence[str] = ()
    ) -> Iterator[Running]:
        """Run it until the block ends, on a free port if none is given.

        ``prefix`` is a command that starts the server, for example in a network namespace.
        """
        port = port or free_port()
        command = [word.format(host=host, port=port) for word in self.command]
        process = subprocess.Popen(
            [*prefix, *command],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Running(self, process, host, port)
        finally:
            _end(process)


@dataclass(frozen=True)
class Running:
    """A running server."""

    server: Server
    process: subprocess.Popen[bytes]
    host: str
    port: int

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def wait_listening(self) -> None:
        """Wait until it accepts connections."""
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), socket.create_connection((self.host, self.port), 1):
                return
            time.sleep(0.002)
        raise RuntimeError(f"{self.server.name} does not listen on {self.host}:{self.port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a port that is not in use.

    It is below the range from which the kernel chooses ports for clients: while thousands of
    connections open and close, such a port could be in use again before the server starts.
    """
    return next(port for port in itertools.count(_FIRST_PORT) if _is_free(port))


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((LOOPBACK, port))
        return True
    return False


def compile_c(source: Path, output: Path, *flags: str) -> Path:
    """Compile a C file, unless the program is newer; return the program."""
    if not output.exists() or output.stat().st_mtime < source.stat().st_mtime:
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, *_FLAGS, str(source), "-o", str(output), *flags], check=True)
    return output


def doorbelld(source: str) -> Server:
    """The daemon, with any camera source."""
    settings = {
        "camera.source": source,
        "camera.framerate": str(material.FPS),
        "server.listen": "{host}:{port}",
        "server.max_viewers": "1100",
    }
    command = [sys.executable, "-m", "doorbelld", "--config", os.devnull]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    return Server("doorbelld", command, "/video_feed")


def floor(build: Path, frames: material.Material) -> Server:
    """The bare send loop."""
    program = compile_c(ROOT / "bench" / "floor.c", build / "floor")
    return Server("send loop in C", [str(program), "{port}", str(material.FPS), str(frames.part)])


def recipe(frames: material.Material) -> Server:
    """The thread-per-viewer recipe."""
    command = [
        sys.executable,
        "-m",
        "bench.recipe",
        "{host}",
        "{port}",
        str(material.FPS),
        str(frames.folder),
    ]
    return Server("thread per viewer", command)


def ustreamer(build: Path, frames: material.Material) -> Server | None:
    """Debian's ustreamer with the simulated camera of the tests; None if it is not installed."""
    if not shutil.which("ustreamer"):
        return None
    command = ["ustreamer", f"--device={WEBCAM}", "--format=MJPEG", "--encoder=HW"]
    command += ["--host={host}", "--port={port}", f"--desired-fps={material.FPS}"]
    return Server("ustreamer", command, "/stream", _with_webcam(build, frames))


def webcam(build: Path, frames: material.Material, *, opencv: bool) -> Server:
    """The daemon with the same camera, which it reads itself, or through OpenCV."""
    server = doorbelld(f"v4l2:{WEBCAM}")
    module = "bench.opencv_webcam" if opencv else "doorbelld"
    command = [module if word == "doorbelld" else word for word in server.command]
    name = "through OpenCV" if opencv else "doorbelld"
    return Server(name, command, server.path, _with_webcam(build, frames))


def _with_webcam(build: Path, frames: material.Material) -> dict[str, str]:
    """Return the environment in which a program sees the simulated camera of the tests."""
    source = ROOT / "tests" / "support" / "v4l2_camera.c"
    library = build / "v4l2_camera.so"
    camera = compile_c(source, library, "-shared", "-fPIC", "-pthread", "-ldl")
    return {
        "LD_PRELOAD": str(camera),
        "FAKE_V4L2_DEVICE": WEBCAM,
        "FAKE_V4L2_FRAMES": str(frames.folder),
        "FAKE_V4L2_FPS": str(material.FPS),
    }
