"""Audience: viewers who must lose nothing, whatever others do to the daemon meanwhile."""

from __future__ import annotations

from types import TracebackType

from tests.support.coded import coded
from tests.support.crowd import Crowd
from tests.support.daemon import Daemon
from tests.support.pipe_camera import PipeCamera

KILOBYTES = 20
_KEY = "audience"


class Audience:
    """So many viewers, who watch picture after picture.

    The daemon has the pipe camera, and has shown picture 0 already.
    """

    def __init__(self, daemon: Daemon, camera: PipeCamera, count: int) -> None:
        self.count = count
        self._daemon = daemon
        self._camera = camera
        self._crowd = Crowd(daemon)
        self._shown = [coded(0)]

    def see_next(self) -> None:
        """Show a picture, and wait until everybody has it."""
        number = len(self._shown)
        picture = coded(number % 4096, KILOBYTES)
        self._camera.show(picture)
        self._shown.append(picture)
        self._crowd.wait_for_parts(number + 1)

    def check(self) -> None:
        """Check that everybody has seen all there was to see, and that /status says so too."""
        for watcher in self._crowd.watchers:
            assert [part.body for part in watcher.parts] == self._shown
        self._daemon.wait_for_counts(
            *[(_KEY, len(self._shown), 0)] * self.count, query=f"?key={_KEY}"
        )

    def __enter__(self) -> Audience:
        self._crowd.join(self.count, f"/video_feed?key={_KEY}", source="127.0.0.200")
        self._crowd.wait_for_parts(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.check()
        finally:
            self._crowd.__exit__(kind, error, trace)
