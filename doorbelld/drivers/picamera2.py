"""picamera2: loads the library, lists its cameras, limits its encoders, and closes one for good."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from doorbelld.drivers import picamera2_log
from doorbelld.drivers.errors import CameraError, GoneError, Reason, describe

_MOST_IN_FLIGHT = 2
_LOST = 5.0
"""Seconds after which a frame does not count any more: encoders may lose one."""


def load() -> Any:
    """Return the library. Raises CameraError if it, or what it needs, is missing or broken."""
    try:
        picamera2_log.redirect_libcamera()
        library = importlib.import_module("picamera2")
    except Exception as error:  # a library it needs may be of a version that does not fit
        why = " ".join(str(error).split())
        text = f"The Python library picamera2 cannot be used: {why}"
        raise CameraError(text, Reason.SOFTWARE) from error
    if not hasattr(library.Picamera2, "global_camera_info"):
        text = "The Python library picamera2 is too old; please update it"
        raise CameraError(text, Reason.SOFTWARE)
    picamera2_log.redirect_picamera2()
    return library


def cameras(library: Any) -> dict[int, str]:
    """Return the sensors of the Raspberry Pi's cameras by their numbers; opens none.

    A camera's number is its place in the library's list: that is what the library's constructor
    takes, and what ``rpicam-hello --list-cameras`` prints. ("Num" in the list is another number,
    and old versions have none.) USB cameras are left out, because V4L2 can do more with them.
    """
    return {
        number: str(found.get("Model", ""))
        for number, found in enumerate(library.Picamera2.global_camera_info())
        if "/usb" not in str(found.get("Id", ""))
    }


def close(camera: Any, encoder: Any) -> None:
    """Stop and close a camera in whatever state it is, even if its constructor failed.

    Takes every step, and then raises the first error. The library gives up at its first error,
    and would leave the camera in use and its pipes open.
    """
    state, manager = vars(camera), getattr(camera, "_cm", None)
    state.setdefault("_preview", None)  # What its destructor needs is
    state.setdefault("is_open", False)  # missing if the constructor failed early.
    # First the library's event loop: if that has died, stopping waits for it for ever.
    with suppress(Exception):  # there is none, if the camera was not started
        camera.stop_preview()
    errors = list(_failures(camera.stop_recording))
    if state["is_open"] and state.get("camera"):
        # The library does not know that it runs if its start failed half-way.
        errors += _failures(state["camera"].stop)
    errors += _failures(lambda: _stop(encoder), camera.close)
    state["_preview"], state["is_open"] = None, False
    errors += _failures(lambda: _deregister(manager, camera), lambda: _close_pipes(state))
    if errors:
        raise errors[0]


def abandon(camera: Any, encoder: Any) -> None:
    """Close a camera that could not be opened; what fails in that is of no interest."""
    with suppress(Exception):
        close(camera, encoder)


def free(error: BaseException | None = None) -> None:
    """Free the cameras that are closed, with their buffers and descriptors.

    They refer to themselves, and what is in the traceback of ``error`` refers to them.
    """
    hook, sys.unraisablehook = sys.unraisablehook, picamera2_log.destructor_failed
    try:
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__cause__ or error.__context__
        gc.collect()
    finally:
        sys.unraisablehook = hook


def _failures(*steps: Callable[[], None]) -> Iterator[Exception]:
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001  # the next steps are as important
            yield error


def _stop(encoder: Any) -> None:
    """Stop an encoder that the camera does not stop, because its own start failed."""
    if getattr(encoder, "_running", False):
        try:
            encoder.stop()
        finally:
            device = getattr(encoder, "vd", None)
            if device is not None:
                device.close()


def _deregister(manager: Any, camera: Any) -> None:
    """Remove a camera from the list of the library's manager, and end that if it was the last."""
    if manager is None:
        return
    for number, other in list(manager.cameras.items()):
        if other is camera:
            manager.cleanup(number)
    if not manager.cameras and hasattr(manager, "_cms"):
        manager._cms = None  # noqa: SLF001  # as the library does after a camera that worked


def _close_pipes(state: dict[str, Any]) -> None:
    """Close the pipe through which the library's event loop is woken, if close() did not."""
    reader = state.get("notifymeread")
    if reader is not None and not reader.closed:
        reader.close()
        os.close(state["notifyme_w"])


class InFlight:
    """Counts the frames that an encoder has at the moment: the newest, and one before it.

    enter() and leave() may be called by different threads.
    """

    def __init__(self) -> None:
        self._entered: deque[float] = deque()

    def enter(self) -> bool:
        """Return whether the encoder may get one more frame, and count that."""
        now = time.monotonic()
        if len(self._entered) >= _MOST_IN_FLIGHT and now - self._entered[0] > _LOST:
            self._entered.clear()
        if len(self._entered) >= _MOST_IN_FLIGHT:
            return False
        self._entered.append(now)
        return True

    def leave(self) -> None:
        """Count a frame as done."""
        with suppress(IndexError):
            self._entered.popleft()


def limited(encoder: Any, in_flight: InFlight) -> Any:
    """Return a kind of encoder that skips a frame if it has enough to do.

    The library queues as many frames as it has buffers, and each would wait for those before
    it: the pictures of an encoder that is slower than the camera would be old.
    """

    class Encoder(encoder):  # type: ignore[misc]
        def encode(self, stream: Any, request: Any) -> None:
            if in_flight.enter():
                super().encode(stream, request)

    return Encoder


class HeldFrame:
    """A frame that is encoded when its picture is wanted, or never; it holds one of few buffers.

    ``taken_at`` is when the sensor took it, in seconds on the kernel's boot clock; None if that is
    not known. Any thread may call :meth:`encode` and :meth:`give_back`.
    """

    def __init__(self, encoder: Any, request: Any) -> None:
        stamp = request.get_metadata().get("SensorTimestamp")
        request.acquire()
        self.taken_at: float | None = stamp / 1e9 if stamp else None
        self._encoder = encoder
        self._request = request
        self._lock = threading.Lock()
        self._is_given_back = False

    def encode(self) -> bytes:
        """Return the picture as a JPEG. Raises GoneError if the buffer was given back."""
        request = self._request
        with self._lock:
            if self._is_given_back:
                raise GoneError("a newer picture has taken this one's place")
            request.acquire()  # It may be given back while it is encoded.
        try:
            return bytes(self._encoder.encode_func(request, request.picam2.encode_stream_name))
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(f"the encoder failed: {describe(error)}") from error
        finally:
            request.release()

    def give_back(self) -> None:
        """Let the library use the buffer again. May be called twice."""
        with self._lock:
            if self._is_given_back:
                return
            self._is_given_back = True
        self._request.release()


def on_demand(encoder: Any, take: Callable[[HeldFrame], None]) -> Any:
    """Return a kind of software encoder that gives each frame to ``take``, and encodes none."""

    class Encoder(encoder):  # type: ignore[misc]
        def encode(self, stream: Any, request: Any) -> None:
            del stream
            if self._running:
                take(HeldFrame(self, request))

    return Encoder
