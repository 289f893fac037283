"""The ``http://`` source: a network camera that sends JPEGs, as a stream or one at a time.

Its pictures are passed on as they are, without OpenCV. Anything may answer at that address, so
every read is bounded.
"""

from __future__ import annotations

import logging
import re
import time
from http.client import HTTPException

from doorbelld.camera.base import WAKE_UP, CameraSettings, Shot
from doorbelld.camera.closing import Receiver
from doorbelld.camera.conditional import Conditional
from doorbelld.drivers.errors import NO_HTTP, CameraError, Reason, without_secrets
from doorbelld.drivers.httpclient import Answer, HttpClient
from doorbelld.media import jpeg
from doorbelld.media.parts import PartReader
from doorbelld.system.limited_log import OncePerMinute

logger = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_MOST_WITHOUT_PICTURE = 2 * jpeg.LARGEST
"""Bytes. A server that sends more without a picture in between is not a camera."""

_FASTEST_STILLS = 5.0
"""Pictures a second. Cameras that send one picture at a time are slow."""

_REPEAT = 0.5
"""Seconds after which a still picture is shown again that the camera says has not changed: it is
what it sees now, and the page counts a picture of more than 1.2 seconds as old."""

_PICTURES = re.compile(
    r"multipart/.*|.*/x-mixed-replace|image/p?jpe?g|(image|video)/(x-)?(motion-)?m?jpe?g|"
    r"application/octet-stream|"
)
_PLAYLIST = re.compile(r".*mpegurl|application/(dash\+xml|sdp)|.*scpls|video/x-ms-asf")
_HARMLESS = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,60}", re.ASCII)

_WEB_PAGE = "has a web page at this path; the path of the picture itself is needed"
_NO_PLAYLISTS = "has a playlist at this path; playlists are not followed"
_COMPRESSED = "sends its pictures in compressed form, which no camera needs to"
_HTML = re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_GZIP = b"\x1f\x8b\x08"
_BEGINNING = re.compile(rb"\xff\xd8\xff|(\r?\n)?--[!-~]")
"""Of pictures, or of a part: nothing else that is served begins like this."""
_LONGEST_BEGINNING = 5
_LONGEST_ENDING = 6
"""Bytes: two hyphens behind the last boundary, and line breaks."""

_may_warn = OncePerMinute()
"""For the whole process: a camera that is lost every second is opened again as often."""


class HttpCamera:
    """Reads MJPEG streams and still pictures. Its name is scheme, host and port alone.

    A thread of its own reads all the time, and only the newest picture is kept. The caller decides
    how long the camera may be silent: ``close`` cuts the connection wherever the thread waits.

    A camera may also close the connection after each picture: the next one is requested then.
    """

    def __init__(self, url: str, settings: CameraSettings) -> None:
        patience = settings.stall_timeout
        self.name = without_secrets(url)
        self.mode = ""
        self._is_unverified = url.startswith("https:") and not settings.verify
        # A still picture must not be lost because the next one was not asked for in time.
        self._interval = min(1 / min(settings.framerate, _FASTEST_STILLS), patience / 2)
        self._client = HttpClient(
            url,
            verify=settings.verify,
            connect_timeout=patience,
            answer_timeout=max(patience, WAKE_UP),
        )
        self._repeat = min(_REPEAT, patience / 2)
        self._conditional = Conditional()
        self._shown_at = 0.0
        self._parts = PartReader()
        self._has_no_memory = False
        self._receiver: Receiver[Shot] = Receiver(self.name, self._receive)

    @property
    def invalid(self) -> int:
        """How many pictures in the stream were incomplete."""
        return self._parts.invalid

    def open(self) -> None:
        """Start connecting; wait a second for the first picture.

        Raises CameraError if it fails in that time, otherwise read() does.
        """
        if self._is_unverified and _may_warn.is_due():
            logger.warning("%s: its certificate is not checked ([camera] verify = no)", self.name)
        self._receiver.start()

    def read(self, timeout: float) -> Shot | None:
        """Return the newest picture, or None if none came within ``timeout`` seconds."""
        if self._has_no_memory:
            self._has_no_memory = False
            raise MemoryError
        return self._receiver.take(timeout)

    def close(self) -> None:
        """Cut the connection; the thread ends with it."""
        self._receiver.closing.set()
        self._client.cut()
        self._receiver.stop()

    # In the thread.

    def _receive(self) -> None:
        closing = self._receiver.closing
        has_failed = False
        try:
            while not closing.is_set():
                asked_at = time.monotonic()
                try:
                    self._ask()
                    has_failed = False
                except CameraError:
                    # Some cameras have no still picture now and then; the next one will do.
                    if has_failed or self.mode != self._single:
                        raise
                    has_failed = True
                    self._client.hang_up()
                closing.wait(max(asked_at + self._interval - time.monotonic(), 0))
        finally:
            self._client.hang_up()

    def _ask(self) -> None:
        """Take what the camera answers. Raises CameraError, unless it is to be asked again."""
        with self._client.get(self._conditional.headers()) as answer:
            if answer.status == 304:
                self._show_again(self._conditional.unchanged())
                return
            kind = answer.getheader("Content-Type", "").partition(";")[0].strip().lower()
            data = self._more(answer)
            while 0 < len(data) < _LONGEST_BEGINNING and (more := self._more(answer)):
                data += more
            self._check(kind, data)
            if kind.startswith("image/") and answer.length is not None:
                self._take_still(answer, data)
            else:
                self._take(answer, data, is_stream=kind.startswith("multipart/"))

    def _take_still(self, answer: Answer, data: bytes) -> None:
        """Take the picture that an answer is. Of several in it, as phones make them, the first."""
        body = bytearray()
        while data and len(body) <= jpeg.LARGEST:
            body += data
            data = self._more(answer)
        # One that lacks its end marker may have been cut off.
        pictures = self._cut(bytes(body)) or ([] if answer.length else self._parts.end())
        self._parts.forget()
        if not pictures:
            raise self._fault_at_end(answer, 0, is_stream=False)
        self._show(pictures[0])
        self._conditional.changed(answer.headers, pictures[0])
        self.mode = self._single

    def _take(self, answer: Answer, data: bytes, *, is_stream: bool) -> None:
        """Take the pictures of one answer, until it ends.

        Raises CameraError at its end, unless it was a single picture: then it is to be requested
        again. A stream that was cut off after its first picture is not that.
        """
        taken = unused = 0
        left = (answer.length or 0) + len(data)
        has_end = answer.length is not None or answer.chunked
        last = tail = b""
        self.mode = "MJPEG" if is_stream else ""
        while data:
            pictures = self._cut(data)
            unused += len(data)
            left -= len(data)
            tail = (tail + data[-_LONGEST_ENDING:])[-_LONGEST_ENDING:]
            if pictures:
                last = pictures[-1]
                taken, unused = taken + len(pictures), 0
                self._show(last)
            elif unused > _MOST_WITHOUT_PICTURE:
                text = f"{self.name} has sent {unused // 2**20} MB without a picture"
                raise CameraError(text, Reason.DAMAGED)
            data = self._more(answer)
        # The last picture may lack only its end marker, if the connection was not cut.
        for picture in self._parts.end() if left <= 0 else ():
            last = picture
            taken += 1
            self._show(picture)
        self._parts.forget()
        has_end = has_end or tail.rstrip(b"\r\n").endswith(b"--")
        if taken != 1 or (is_stream and not has_end):
            raise self._fault_at_end(answer, taken, is_stream)
        self._conditional.changed(answer.headers, last)
        if not is_stream:
            self.mode = self._single

    @property
    def _single(self) -> str:
        return f"single pictures, {1 / self._interval:.2g} a second"

    def _fault_at_end(self, answer: Answer, taken: int, is_stream: bool) -> CameraError:
        if taken == 0 and not answer.has_head:
            text = f"Cannot get pictures from {self.name}: {NO_HTTP.words}"
            return CameraError(text, NO_HTTP.reason)
        if taken == 0 and not is_stream:
            return CameraError(f"{self.name} has sent no complete JPEG picture", Reason.DAMAGED)
        return CameraError(f"{self.name} has stopped sending pictures", Reason.SILENT)

    def _show(self, picture: bytes) -> None:
        self._shown_at = time.monotonic()
        self._receiver.put(Shot(picture, self._shown_at))
        self._receiver.opened()

    def _show_again(self, picture: bytes) -> None:
        if time.monotonic() >= self._shown_at + self._repeat:
            self._show(picture)

    def _more(self, answer: Answer) -> bytes:
        """Return the next bytes of an answer; b"" when it has ended, or was cut off."""
        try:
            return answer.read1(_CHUNK)
        except (OSError, HTTPException, ValueError):
            return b""

    def _check(self, kind: str, data: bytes) -> None:
        """Raise CameraError if this is not a camera; ``data`` is the start of the answer."""
        if _BEGINNING.match(data):
            return  # whatever its Content-Type is
        if data.startswith(_GZIP):
            raise CameraError(f"{self.name} {_COMPRESSED}", Reason.DAMAGED)
        if _PLAYLIST.fullmatch(kind) or data.startswith(b"#EXTM3U"):
            raise CameraError(f"{self.name} {_NO_PLAYLISTS}", Reason.SETTINGS)
        if kind in ("text/html", "application/xhtml+xml") or _HTML.match(data):
            raise CameraError(f"{self.name} {_WEB_PAGE}", Reason.SETTINGS)
        if not _PICTURES.fullmatch(kind):
            what = kind if _HARMLESS.fullmatch(kind) else "something else"
            text = f"{self.name} sends {what}; only JPEG pictures are taken"
            raise CameraError(text, Reason.SETTINGS)

    def _cut(self, data: bytes) -> list[bytes]:
        try:
            return self._parts.feed(data)
        except MemoryError:
            # Some data is lost: the halves of two pictures must not become one.
            self._parts.forget()
            self._has_no_memory = True
            return []
