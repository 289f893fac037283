"""A program inside the machine: makes a v4l2loopback device a webcam that delivers chosen bytes.

Usage: feeder.py DEVICE FOLDER FRAMES_A_SECOND AGE. It delivers the files of the folder in the
order of their names, in a loop; each picture claims to be AGE seconds old.
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import struct
import sys
import time
from pathlib import Path

_FORMAT = struct.Struct("=I 4x 2I 4s 3I 176x")  # struct v4l2_format with a v4l2_pix_format
_REQUEST = struct.Struct("=3I 8x")  # struct v4l2_requestbuffers
_BUFFER = struct.Struct("=5I 4x 2q 16x 2I Q I 12x")  # struct v4l2_buffer on 64 bit
_VIDIOC_S_FMT = 0xC0D05605
_VIDIOC_REQBUFS = 0xC0145608
_VIDIOC_QUERYBUF = 0xC0585609
_VIDIOC_QBUF = 0xC058560F
_VIDIOC_DQBUF = 0xC0585611
_VIDIOC_STREAMON = 0x40045612

_OUTPUT = 2  # V4L2_BUF_TYPE_VIDEO_OUTPUT
_MMAP = 1  # V4L2_MEMORY_MMAP
_ANY = 0  # V4L2_FIELD_ANY
_STAMP_IS_OURS = 0x00004000  # V4L2_BUF_FLAG_TIMESTAMP_COPY


def main(device: str, folder: str, rate: str, age: str) -> None:
    """Deliver the pictures until a signal comes."""
    pictures = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    fd = os.open(device, os.O_RDWR)
    size = max(map(len, pictures))
    fcntl.ioctl(fd, _VIDIOC_S_FMT, _FORMAT.pack(_OUTPUT, 640, 480, b"MJPG", 1, 0, size))
    fcntl.ioctl(fd, _VIDIOC_REQBUFS, _REQUEST.pack(2, _OUTPUT, _MMAP))
    buffers = []
    for index in range(2):
        asked = _BUFFER.pack(index, _OUTPUT, 0, 0, _ANY, 0, 0, 0, _MMAP, 0, 0)
        *_, offset, length = _BUFFER.unpack(fcntl.ioctl(fd, _VIDIOC_QUERYBUF, asked))
        buffers.append(mmap.mmap(fd, length, offset=offset))
    fcntl.ioctl(fd, _VIDIOC_STREAMON, struct.pack("=I", _OUTPUT))
    for number in itertools.count():
        picture, index = pictures[number % len(pictures)], number % len(buffers)
        buffers[index][: len(picture)] = picture
        seconds, part = divmod(time.monotonic() - float(age), 1)
        stamp = int(seconds), int(1e6 * part)
        fcntl.ioctl(
            fd,
            _VIDIOC_QBUF,
            _BUFFER.pack(
                index,
                _OUTPUT,
                len(picture),
                _STAMP_IS_OURS,
                _ANY,
                *stamp,
                0,
                _MMAP,
                0,
                len(picture),
            ),
        )
        fcntl.ioctl(fd, _VIDIOC_DQBUF, _BUFFER.pack(0, _OUTPUT, 0, 0, _ANY, 0, 0, 0, _MMAP, 0, 0))
        time.sleep(1 / float(rate))


if __name__ == "__main__":
    main(*sys.argv[1:])
