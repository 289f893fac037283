"""Buffers: the memory that a V4L2 driver fills with pictures, shared with this process."""

from __future__ import annotations

import errno
import mmap
import struct
from contextlib import suppress
from typing import NamedTuple

from doorbelld.v4l2 import ioctl
from doorbelld.v4l2.ioctl import BufferRequests

_MMAP = 1  # enum v4l2_memory
_STREAM = struct.pack("=I", ioctl.VIDEO_CAPTURE)

_ERROR = 0x00000040  # V4L2_BUF_FLAG_...
_CLOCK = 0x0000E000
_CLOCKS = (0x00002000, 0x00004000)  # monotonic, or copied from another device's buffer

_FEWEST = 2
"""One is with us while the driver fills the other."""


class Filled(NamedTuple):
    """A buffer that the driver has filled with ``length`` bytes.

    ``stamp`` is the driver's time of the capture, in seconds on the monotonic clock, or None if
    it uses another one. ``is_damaged``: the driver says so, or there is nothing in it.
    """

    number: int
    length: int
    stamp: float | None
    is_damaged: bool


class Buffers:
    """The buffers of one opened device, which streams from the constructor to close().

    The constructor asks for ``count`` of them; the driver may give more or fewer. If it fails,
    it leaves nothing behind. All methods but close() may raise OSError. ``lost`` counts pictures
    that the driver dropped, because it had no empty buffer or the cable was too slow.
    """

    def __init__(self, fd: int, count: int) -> None:
        self.lost = 0
        self._sequence: int | None = None
        self._fd = fd
        self._maps: list[mmap.mmap] = []
        self._are_allocated = False
        self._requests = BufferRequests(ioctl.ABIS[0])
        try:
            self._map(count)
            self._dequeue = self._pack(0)
            self._queue = [self._pack(index) for index in range(len(self._maps))]
            for index in range(len(self._maps)):
                self.give_back(index)
            ioctl.send(fd, ioctl.STREAMON, _STREAM)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._maps)

    def take(self) -> Filled | None:
        """Take the oldest filled buffer; None if the driver has filled none yet."""
        requests = self._requests
        try:
            answer = ioctl.send(self._fd, requests.dequeue, self._dequeue)
        except BlockingIOError:
            return None
        found = requests.layout.unpack(answer)
        number, _, used, flags, _, seconds, microseconds, _, sequence, _, _, _ = found
        if self._sequence is not None:
            self.lost += max(0, sequence - self._sequence - 1)
        self._sequence = sequence
        stamp = seconds + microseconds / 1e6 if flags & _CLOCK in _CLOCKS else None
        is_damaged = bool(flags & _ERROR) or not 0 < used <= len(self._maps[number])
        return Filled(number, used, stamp, is_damaged)

    def give_back(self, index: int) -> None:
        """Let the driver fill this buffer again."""
        ioctl.send(self._fd, self._requests.queue, self._queue[index])

    def copy(self, filled: Filled) -> bytes:
        """Return what is in a buffer that has not been given back."""
        return self._maps[filled.number][: filled.length]

    def close(self) -> None:
        """Stop the stream and release the memory. The device may have gone."""
        if not self._are_allocated:
            return
        self._are_allocated = False
        with suppress(OSError):
            ioctl.send(self._fd, ioctl.STREAMOFF, _STREAM)
        for each in self._maps:
            each.close()
        self._maps.clear()
        with suppress(OSError):
            self._request(0)

    def _request(self, count: int) -> int:
        """Ask for buffers; return how many there are now."""
        granted = ioctl.call(self._fd, ioctl.REQBUFS, count, ioctl.VIDEO_CAPTURE, _MMAP, 0, 0)[0]
        return int(granted)

    def _map(self, count: int) -> None:
        granted = self._request(count)
        self._are_allocated = granted > 0
        if granted < _FEWEST:
            raise OSError(errno.ENOMEM, f"its driver gives only {granted} of {_FEWEST} buffers")
        for index in range(granted):
            offset, length = self._query(index)
            flags, access = mmap.MAP_SHARED, mmap.PROT_READ
            self._maps.append(mmap.mmap(self._fd, length, flags, access, offset=offset))

    def _query(self, index: int) -> tuple[int, int]:
        """Return where a buffer is, and how long it is."""
        try:
            answer = ioctl.send(self._fd, self._requests.query, self._pack(index))
        except OSError as error:
            others = ioctl.ABIS[1:]
            if error.errno != errno.ENOTTY or index or not others:
                raise
            self._requests = BufferRequests(others[0])
            answer = ioctl.send(self._fd, self._requests.query, self._pack(index))
        *_, offset, length = self._requests.layout.unpack(answer)
        return offset, length

    def _pack(self, index: int) -> bytes:
        """Return a struct v4l2_buffer that asks for something."""
        rest = (0, 0, 0, 0, 0, b"", 0, _MMAP, 0, 0)
        return self._requests.layout.pack(index, ioctl.VIDEO_CAPTURE, *rest)
