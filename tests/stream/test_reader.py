from __future__ import annotations

import pytest

from doorbelld.camera.base import Shot
from doorbelld.drivers.errors import GoneError
from doorbelld.stream.reader import PictureReader
from tests.support.pictures import jpeg


@pytest.mark.parametrize(
    "error", [GoneError(), ValueError(), MemoryError(), RuntimeError("cv2.error"), SystemExit(1)]
)
def test_library_that_fails_harms_no_thread_that_wants_the_picture(error: BaseException) -> None:
    def load() -> bytes:
        raise error

    assert PictureReader.load_in_any_thread(Shot(b"", 1.0, load)) is None


def test_picture_is_loaded_in_any_thread_if_it_can_be_shown() -> None:
    picture = jpeg(1)
    assert PictureReader.load_in_any_thread(Shot(b"", 1.0, lambda: picture)) == picture
    assert PictureReader.load_in_any_thread(Shot(b"", 1.0, lambda: b"damaged")) is None
