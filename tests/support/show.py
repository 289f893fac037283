"""Show: viewers who must not lose a picture, whatever happens around them."""

from __future__ import annotations

from tests.support.crowd import Crowd
from tests.support.pictures import jpeg
from tests.support.pipe_camera import PipeCamera


class Show:
    """Viewers of a camera whose every picture they all must get, one after the other."""

    def __init__(self, camera: PipeCamera, crowd: Crowd) -> None:
        self._camera = camera
        self._crowd = crowd
        self._count = 0

    def join(self, count: int) -> None:
        """Let more come; they see the picture of the moment, and all that follow."""
        self._camera.show(jpeg(self._count))
        for watcher in self._crowd.join(count):
            self._crowd.wait_for_parts(1, [watcher])
        self.go_on(1)

    def go_on(self, count: int = 30) -> None:
        """Show more pictures, each of which everybody must get before the next."""
        for _ in range(count):
            self._count += 1
            picture = jpeg(self._count)
            self._camera.show(picture)
            self._crowd.wait(
                lambda picture=picture: all(  # type: ignore[misc]
                    watcher.bodies[-1] == picture for watcher in self._crowd.watchers
                ),
                f"picture {self._count} seen by all",
            )
