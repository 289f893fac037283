"""PipeCamera: a named pipe instead of a camera, so that the test decides every frame."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from tests.support.daemon import eventually


class PipeCamera:
    """Write JPEGs into it and the daemon publishes them at once, one by one.

    When it is disconnected, it looks like an unplugged camera.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)
        self._fd: int | None = None

    @property
    def source(self) -> str:
        """The daemon's ``camera.source`` for it."""
        return f"file:{self._path}"

    def connect(self) -> None:
        """Wait for the daemon to open the camera, and plug it in."""

        def plug() -> bool:
            try:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return False  # The other end is not open yet.
            os.set_blocking(self._fd, True)
            return True

        eventually(plug, "the camera opened by the daemon")

    def show(self, data: bytes) -> None:
        """Take a picture; any bytes will do, whole JPEG or not."""
        if self._fd is None:
            self.connect()
        assert self._fd is not None
        while data:
            data = data[os.write(self._fd, data) :]

    @contextmanager
    def flooding(self, data: bytes) -> Iterator[None]:
        """Send the same over and over, as fast as the daemon takes it."""
        end = threading.Event()

        def flood() -> None:
            with suppress(BrokenPipeError):  # the daemon has had enough
                while not end.is_set():
                    self.show(data)
            self.disconnect()

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def disconnect(self) -> None:
        """Unplug it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> PipeCamera:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.disconnect()
