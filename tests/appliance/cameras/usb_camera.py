"""A program inside the machine: a USB webcam that the kernel's own driver, uvcvideo, reads.

Usage: usb_camera.py FOLDER SILENT. The folder has one folder of JPEGs for each size ("640x480").
It delivers eight pictures a second, and none while the file SILENT exists. It is plugged in as
long as the program runs: the kernel's vhci_hcd is a USB port whose wire is a socket, on which
both sides speak USB/IP. All else follows "USB Device Class Definition for Video Devices" 1.0.
"""

from __future__ import annotations

import errno
import itertools
import select
import socket
import struct
import sys
import time
from pathlib import Path

RATES = (8, 4)
"""Frames a second that it offers for each size."""

_PORT = Path("/sys/devices/platform/vhci_hcd.0/attach")
_HIGH_SPEED = 3
_DEVICE_ID = 0x10001

_HEADER = struct.Struct(">5I 4x i 12x 8s")  # USBIP_CMD_SUBMIT
_UNLINKED = struct.Struct(">5I I 24x")  # USBIP_CMD_UNLINK
_RETURN = struct.Struct(">5I 2i 20x")  # USBIP_RET_SUBMIT, and USBIP_RET_UNLINK without a length
_SUBMIT, _UNLINK, _SUBMITTED, _UNLINK_DONE = 1, 2, 3, 4

_SETUP = struct.Struct("<BBHHH")
_GET_DESCRIPTOR = 6
_TO_HOST = 0x80
_CLASS = 0x20
_SET_CUR, _GET_CUR, _GET_MIN, _GET_MAX, _GET_RES, _GET_LEN, _GET_INFO, _GET_DEF = (
    0x01,
    *range(0x81, 0x88),
)

_PAYLOAD = 16384
"""The largest piece of a picture, with its header of two bytes."""

_PROBE = struct.Struct("<H B B I 5H 2I")
_CAMERA, _UNIT, _OUTPUT = 1, 2, 3  # the numbers of its entities
_STREAMING_INTERFACE = 1

# Entity and selector of a control: its size in bytes, least, most, step and default.
_CONTROLS = {
    (_CAMERA, 0x02): (1, 1, 8, 9, 8),  # exposure mode: a mask of bits; the step says which
    (_CAMERA, 0x04): (4, 3, 2047, 1, 250),  # exposure time
    (_CAMERA, 0x06): (2, 0, 250, 5, 0),  # focus
    (_CAMERA, 0x08): (1, 0, 1, 1, 1),  # automatic focus
    (_UNIT, 0x02): (2, -64, 64, 1, 0),  # brightness
    (_UNIT, 0x03): (2, 0, 95, 1, 32),  # contrast
    (_UNIT, 0x04): (2, 0, 100, 1, 20),  # gain
    (_UNIT, 0x05): (1, 0, 2, 1, 1),  # power line frequency
    (_UNIT, 0x0A): (2, 2800, 6500, 10, 4600),  # white balance, in kelvin
    (_UNIT, 0x0B): (1, 0, 1, 1, 1),  # automatic white balance
}
_CAMERA_BITS = (1 << 1 | 1 << 3 | 1 << 5 | 1 << 17).to_bytes(3, "little")
_UNIT_BITS = (1 << 0 | 1 << 1 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 12).to_bytes(2, "little")


class StallError(Exception):
    """The camera does not know a request."""


class UsbCamera:
    """The camera at its end of the wire."""

    def __init__(self, wire: socket.socket, folder: Path, silent: Path) -> None:
        self._wire = wire
        self._silent = silent
        self._sizes = sorted((path.name for path in folder.iterdir()), key=len, reverse=True)
        self._pictures = [
            itertools.cycle([path.read_bytes() for path in sorted((folder / size).iterdir())])
            for size in self._sizes
        ]
        self._values = {key: row[4] for key, row in _CONTROLS.items()}
        self._mode = [1, int(1e7 / RATES[0])]  # the frame descriptor, and the interval in 100 ns
        self._reads: list[int] = []  # the requests for pictures that wait for one
        self._pieces: list[bytes] = []
        self._toggle = 0

    def run(self) -> None:
        """Be a camera until the wire is cut."""
        due = time.monotonic()
        while True:
            ready, _, _ = select.select([self._wire], [], [], max(0, due - time.monotonic()))
            if ready and not self._serve():
                return
            if time.monotonic() >= due:
                due = time.monotonic() + self._mode[1] / 1e7
                self._expose()
            self._deliver()

    def _serve(self) -> bool:
        """Answer one request; return whether there was one."""
        head = self._wire.recv(_HEADER.size, socket.MSG_WAITALL)
        if len(head) < _HEADER.size:
            return False
        command, number, _, to_host, endpoint, length, setup = _HEADER.unpack(head)
        if command == _UNLINK:
            victim = _UNLINKED.unpack(head)[5]
            waits = victim in self._reads
            if waits:
                self._reads.remove(victim)
            self._return(_UNLINK_DONE, number, -errno.ECONNRESET if waits else 0, 0, b"")
        elif endpoint:
            self._reads.append(number)
        else:
            sent = (
                b"" if to_host else self._wire.recv(length, socket.MSG_WAITALL) if length else b""
            )
            self._control(number, setup, sent)
        return True

    def _control(self, number: int, setup: bytes, sent: bytes) -> None:
        kind, request, value, index, length = _SETUP.unpack(setup)
        try:
            if kind & _CLASS:
                data = self._class_request(request, value >> 8, index, sent)
            elif request == _GET_DESCRIPTOR:
                data = self._descriptor(value >> 8, value & 0xFF)
            else:
                data = bytes(length if kind & _TO_HOST else 0)
        except StallError:
            self._return(_SUBMITTED, number, -errno.EPIPE, 0, b"")
            return
        data = data[:length] if kind & _TO_HOST else b""
        self._return(_SUBMITTED, number, 0, len(data) or len(sent), data)

    def _class_request(self, request: int, selector: int, index: int, sent: bytes) -> bytes:
        entity, interface = index >> 8, index & 0xFF
        if interface == _STREAMING_INTERFACE:
            return self._negotiate(request, sent)
        if (entity, selector) not in _CONTROLS:
            raise StallError
        size, *rows = _CONTROLS[entity, selector]
        if request == _SET_CUR:
            self._values[entity, selector] = int.from_bytes(sent, "little", signed=rows[0] < 0)
            return b""
        least, most, step, default = rows
        if request == _GET_LEN:
            return struct.pack("<H", size)
        if request == _GET_INFO:
            return b"\3"  # It can be read and written.
        answers = {_GET_MIN: least, _GET_MAX: most, _GET_RES: step, _GET_DEF: default}
        number = answers.get(request, self._values[entity, selector])
        return number.to_bytes(size, "little", signed=least < 0)

    def _negotiate(self, request: int, sent: bytes) -> bytes:
        """Agree on size and frame rate, as uvcvideo's S_FMT, S_PARM and STREAMON ask for them."""
        if request == _SET_CUR:
            _, _, frame, interval, *_ = _PROBE.unpack(sent.ljust(_PROBE.size, b"\0")[: _PROBE.size])
            offered = [int(1e7 / rate) for rate in RATES]
            nearest = min(offered, key=lambda each: abs(each - interval))
            self._mode = [min(max(frame, 1), len(self._sizes)), nearest]
            self._pieces.clear()
            return b""
        if request == _GET_LEN:
            return struct.pack("<H", _PROBE.size)
        if request == _GET_INFO:
            return b"\3"
        frame, interval = self._mode
        return _PROBE.pack(1, 1, frame, interval, 0, 0, 0, 0, 0, self._most(frame), _PAYLOAD)

    def _most(self, frame: int) -> int:
        width, height = map(int, self._sizes[frame - 1].split("x"))
        return width * height * 2

    def _expose(self) -> None:
        """Take the next picture, if the one before is on its way already."""
        if self._pieces or not self._reads or self._silent.exists():
            return
        picture = next(self._pictures[self._mode[0] - 1])
        self._toggle ^= 1
        step = _PAYLOAD - 2
        for start in range(0, len(picture), step):
            is_last = start + step >= len(picture)
            flags = 0x80 | (0x02 if is_last else 0) | self._toggle
            self._pieces.append(bytes([2, flags]) + picture[start : start + step])

    def _deliver(self) -> None:
        while self._pieces and self._reads:
            piece = self._pieces.pop(0)
            self._return(_SUBMITTED, self._reads.pop(0), 0, len(piece), piece)

    def _return(self, command: int, number: int, status: int, length: int, data: bytes) -> None:
        self._wire.sendall(_RETURN.pack(command, number, 0, 0, 0, status, length) + data)

    def _descriptor(self, kind: int, number: int) -> bytes:
        if kind == 1:
            return struct.pack("<BBHBBBBHHHBBBB", *(18, 1, 0x200, 0xEF, 2, 1, 64), *_IDS)
        if kind == 2:
            return self._configuration()
        if kind == 3 and number < 3:
            text = ("", "Doorbell Works", "Test Webcam")[number].encode("utf-16-le") or b"\x09\x04"
            return bytes([len(text) + 2, 3]) + text
        raise StallError

    def _configuration(self) -> bytes:
        entities = (
            bytes([18, 0x24, 2, _CAMERA, 1, 2, 0, 0, *bytes(6), 3]) + _CAMERA_BITS,
            bytes([11, 0x24, 5, _UNIT, _CAMERA, 0, 0, 2]) + _UNIT_BITS + b"\0",
            bytes([9, 0x24, 3, _OUTPUT, 1, 1, 0, _UNIT, 0]),
        )
        total = 13 + sum(map(len, entities))
        control = struct.pack("<BBBHHIBB", 13, 0x24, 1, 0x100, total, 48_000_000, 1, 1)
        formats = bytes([11, 0x24, 6, 1, len(self._sizes), 1, 1, 0, 0, 0, 0])
        formats += b"".join(map(self._frame, range(1, len(self._sizes) + 1)))
        formats += bytes([6, 0x24, 0x0D, 1, 1, 4])
        header = struct.pack(
            "<BBBBH8B", *(14, 0x24, 1, 1, 14 + len(formats), 0x81, 0, _OUTPUT), 0, 0, 0, 1, 0
        )
        body = bytes([8, 0x0B, 0, 2, 0x0E, 3, 0, 0])
        body += bytes([9, 4, 0, 0, 0, 0x0E, 1, 0, 0]) + control + b"".join(entities)
        body += bytes([9, 4, 1, 0, 1, 0x0E, 2, 0, 0]) + header + formats
        body += struct.pack("<BBBBHB", 7, 5, 0x81, 2, 512, 0)
        return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 250) + body

    def _frame(self, number: int) -> bytes:
        width, height = map(int, self._sizes[number - 1].split("x"))
        intervals = [int(1e7 / rate) for rate in RATES]
        rates = (8_000_000, 80_000_000, self._most(number), intervals[0], len(intervals))
        head = struct.pack(
            "<BBBBBHH4IB", 26 + 4 * len(intervals), 0x24, 7, number, 0, width, height, *rates
        )
        return head + struct.pack(f"<{len(intervals)}I", *intervals)


_IDS = (0x1D6B, 0x0102, 0x0100, 1, 2, 0, 1)
"""Vendor, product, version, the texts' numbers, and how many configurations there are."""


def main(folder: str, silent: str) -> None:
    """Plug the camera in."""
    ours, kernels = socket.socketpair()
    _PORT.write_text(f"0 {kernels.fileno()} {_DEVICE_ID} {_HIGH_SPEED}")
    kernels.close()
    UsbCamera(ours, Path(folder), Path(silent)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
