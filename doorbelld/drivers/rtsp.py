"""RTSP: asks a camera what it has, to say why it does not play. OpenCV only says that.

It sends DESCRIBE, and again with the password. Bytes and time are bounded. FFmpeg plays the video.
"""

from __future__ import annotations

import re
import socket
import time
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from doorbelld.drivers import errors
from doorbelld.drivers.authorization import Authorization
from doorbelld.drivers.errors import CameraError, Reason, Why, without_secrets

_MOST_HEAD = 8 * 1024
_MOST_BODY = 64 * 1024
_MOST_REQUESTS = 3
"""The first, one with the password, and one if the nonce was too old."""

_PORT = 554
_LENGTH = re.compile(
    rb"^content-length[ \t]*:[ \t]*(\d{1,6})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_CHALLENGE = re.compile(r"^www-authenticate[ \t]*:[ \t]*(.*?)\r?$", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(rb"RTSP/\d\.\d +(\d{3})")
_RTSP, _HTTP = b"RTSP/", b"HTTP/"
_MEDIA = re.compile(r"^m=(video|audio)\b.* (\d{1,3})[ \t]*\r?$", re.MULTILINE)
_CODEC = re.compile(r"^a=rtpmap:(\d{1,3}) +([\w.-]{1,20})/", re.MULTILINE | re.ASCII)

_STATIC = {"26": "JPEG", "32": "MPV"}
"""Payload types that need no rtpmap."""

_NAMES = {"H264": "H.264", "H265": "H.265", "JPEG": "MJPEG", "MP4V-ES": "MPEG-4", "MPV": "MPEG-2"}

_SOUND_ONLY = "sends sound only at this path; the path of the picture is needed"
_NOTHING = "sends no video at this path"
_NOT_RTSP = "it does not speak RTSP"
_HTTP_THERE = "it speaks HTTP there, so its URL must begin with http://"


class Described(NamedTuple):
    """What a camera has at a path, and the name of its video's codec, empty if not known."""

    has_video: bool
    has_sound: bool
    codec: str


def describe(url: str, timeout: float) -> Described:
    """Return what the camera at ``url`` has. Takes about ``timeout`` seconds at most.

    Raises CameraError, which says what is wrong, also if it has no video.
    """
    name = without_secrets(url)
    try:
        status, body = _Dialogue(url, timeout).describe()
    except CameraError:
        raise
    except Exception as error:
        why = errors.explain(error)
        raise CameraError(f"Cannot get pictures from {name}: {why.words}", why.reason) from error
    if status != 200:
        why = _explain_status(status, url)
        raise CameraError(f"{name} {why.words}", why.reason)
    found = _read(body)
    if not found.has_video:
        what = _SOUND_ONLY if found.has_sound else _NOTHING
        raise CameraError(f"{name} {what}", Reason.SETTINGS)
    return found


def _explain_status(status: int, url: str) -> Why:
    if status == 401 and urlsplit(url).username is None:
        return errors.NO_PASSWORD
    if 300 <= status < 400:
        return Why("redirects to another address; set that as the source", Reason.SETTINGS)
    return errors.explain_status(status)


def _read(sdp: str) -> Described:
    media = dict(reversed(_MEDIA.findall(sdp)))
    codec = {**_STATIC, **dict(_CODEC.findall(sdp))}.get(media.get("video", ""), "").upper()
    return Described("video" in media, "audio" in media, _NAMES.get(codec, codec))


class _Dialogue:
    """Requests to one camera, within ``timeout`` seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._name = without_secrets(url)
        self._target = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._address = (parts.hostname or "", parts.port or _PORT)
        self._has_password = parts.username is not None
        self._authorization = Authorization(
            unquote(parts.username or ""), unquote(parts.password or "")
        )
        self._give_up_at = time.monotonic() + timeout

    def describe(self) -> tuple[int, str]:
        """Return the status and the body of the answer. Raises OSError, ValueError, CameraError."""
        for number in range(1, _MOST_REQUESTS + 1):
            # Some cameras close the connection after each answer.
            with socket.create_connection(self._address, self._left()) as sock:
                sock.sendall(self._request(number))
                status, head, body = self._receive(sock)
            if status != 401 or not self._has_password:
                break
            self._authorization.choose(_CHALLENGE.findall(head))
            if number > 1 and not self._authorization.is_stale:
                break
        return status, body

    def _left(self) -> float:
        left = self._give_up_at - time.monotonic()
        if left <= 0:
            raise socket.timeout
        return left

    def _request(self, number: int) -> bytes:
        lines = [f"DESCRIBE {self._target} RTSP/1.0", f"CSeq: {number}"]
        lines += ["User-Agent: doorbelld", "Accept: application/sdp"]
        headers = self._authorization.headers("DESCRIBE", self._target)
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")

    def _receive(self, sock: socket.socket) -> tuple[int, str, str]:
        """Return the status, the head and the body of an answer."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more(sock)
            is_other = not (data.startswith(_RTSP) or _RTSP.startswith(data))
            if len(data) > _MOST_HEAD or (is_other and not _HTTP.startswith(data)):
                why = _HTTP_THERE if data.startswith(_HTTP) else _NOT_RTSP
                raise self._fault(why)
        head, _, body = data.partition(b"\r\n\r\n")
        found = _STATUS.match(head)
        if found is None:
            raise self._fault(_NOT_RTSP)
        length = _LENGTH.search(head)
        end = min(int(length[1]) if length else 0, _MOST_BODY)
        while len(body) < end:
            body += self._more(sock)
        return int(found[1]), head.decode("latin-1"), body[:end].decode("latin-1")

    def _fault(self, why: str) -> CameraError:
        text = f"Cannot get pictures from {self._name}: {why}"
        return CameraError(text, Reason.SETTINGS)

    def _more(self, sock: socket.socket) -> bytes:
        sock.settimeout(self._left())
        data = sock.recv(_MOST_HEAD)
        if not data:
            raise ConnectionResetError
        return data
