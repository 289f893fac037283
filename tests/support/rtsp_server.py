"""RtspServer: GStreamer's RTSP server as a child process, with a camera at each of some paths."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PROGRAM = Path(__file__).with_name("gstreamer_server.py")
_PYTHON = "/usr/bin/python3"
"""Debian's, for which its packages install GStreamer."""


class RtspServer:
    """Serves ``/video`` by TCP and UDP, ``/udp`` by UDP only, ``/sound`` without a picture.

    ``/basic`` and ``/digest`` are ``/video`` for anton with the password ses@me.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [_PYTHON, str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout
        self.ports = [int(each) for each in self._process.stdout.readline().split()]
        """Without a password, with Basic, and with Digest."""

    def address(self, kind: int = 0) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.ports[kind]}"

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # It ends with its standard input.
