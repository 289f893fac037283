"""What reason belongs to each sentence about a camera; a test that sees the sentence checks it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from doorbelld.drivers.errors import CameraError

SENTENCES = {
    "none": ["^No camera found; check that one is plugged in$"],
    "missing": [
        "^There is no camera at ",
        "^There is no file ",
        "No such file or directory$",
        " was unplugged$",
        " is not detected; (check its cable|there is: )",
    ],
    "busy": ["in use by another program$", r" is busy \(status 503\)$"],
    "denied": [
        "^No permission to use ",
        "Permission denied$",
        r" refuses us \(status 403\)$",
    ],
    "login": [" asks for a user name and a password; ", " refuses the user name or the password$"],
    "unreachable": [
        ": nothing listens there$",
        ": its name is not found$",
        ": it does not answer$",
        ": it closes the connection without an answer$",
        ": nothing in the network has its address; ",
        ": this machine has no network in which it could be$",
    ],
    "silent": [
        " has sent no picture for ",
        " has stopped( sending pictures| working)?$",
        "^Raspberry Pi camera 0 has stopped: ",
    ],
    "damaged": [
        " has sent only (damaged pictures|pictures larger|pictures of more than [0-9]+ m)",
        " has sent no complete JPEG picture$",
        " MB without a (JPEG )?picture$",
        "^There is no JPEG picture in ",
        "^There are only damaged pictures in ",
        "^There is no video in .*(: it is empty|, but text, or a playlist)$",
        " pixels, which is too large$",
        "^OpenCV (finds no video|cannot decode the video) in ",
        "^The file .* (has only sound|is encrypted|is incomplete: .*)$",
        " that OpenCV cannot play$",
        " offers no picture format that OpenCV can read$",
        " sends its pictures in compressed form, ",
    ],
    "hangs": [" hangs(; only a restart of doorbelld can help)?$"],
    "software": [
        " needs OpenCV, ",
        "^The Python library picamera2? ",
        "^picamera works on a Raspberry Pi only$",
        " has (had )?too little memory for ",
        "^The system is out of threads: ",
        " cannot be used: its driver gives only ",
    ],
    "settings": [
        " is not a camera( that sends pictures)?$",
        " is a USB camera; use v4l2:/dev/videoN for it$",
        " is not enabled; raspi-config can enable it$",
        " gets too little USB bandwidth; ",
        " are cut off; lower quality or resolution$",
        ", which are too large to turn, ",
        r" has nothing at this path \(status 404\)$",
        " has a (web page|playlist) at this path; ",
        " sends .*; only JPEG pictures are taken$",
        " sends (sound only|no video) at this path",
        " redirects ",
        ": it does not speak (HTTP|TLS|RTSP)$",
        ": it speaks (HTTP|TLS) there, so its URL must begin with ",
        ": its certificate is ",
        ": its certificate has expired; ",
        ": it only speaks an old version of TLS, ",
    ],
    "other": [
        " answers with the status [0-9]+$",
        "^The camera .* cannot be used: (?!its driver gives only )",
        "^Raspberry Pi camera 0 does not start: ",
        ": its URL, or what it answers, makes no sense$",
        "^The camera's driver failed; ",
        "^Cannot read .*: (Not a directory|Input/output error)$",
        " was closed$",
    ],
}


def reason_for(sentence: str) -> str:
    """Return the reason that belongs to a sentence."""
    found = {
        reason
        for reason, patterns in SENTENCES.items()
        if any(re.search(each, sentence) for each in patterns)
    }
    assert len(found) == 1, f"{sentence!r}: {found}"
    return found.pop()


@contextmanager
def camera_error(match: str | None = None) -> Iterator[pytest.ExceptionInfo[CameraError]]:
    """Expect a CameraError that matches, with the reason that belongs to its sentence."""
    with pytest.raises(CameraError, match=match) as caught:
        yield caught
    assert caught.value.reason == reason_for(str(caught.value))
