"""The numbers and layouts of V4L2's requests, held against the kernel's own header."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from doorbelld.v4l2 import buffers, ioctl
from doorbelld.v4l2.buffers import Buffers

if TYPE_CHECKING:
    from pathlib import Path

HEADER = """
#include <stddef.h>
typedef {time} time_field;
struct timeval {{ time_field tv_sec, tv_usec; }};
struct timespec {{ time_field tv_sec; long tv_nsec; }};
#include <linux/videodev2.h>
#define NUMBER(name, value) _Static_assert((unsigned)(name) == (unsigned)(value), #name)
#define FIELD(type, field, value) _Static_assert(offsetof(struct type, field) == (value), #field)
"""

MACHINES: dict[str, tuple[tuple[int, int], str, list[str], int]] = {
    "this one": ((struct.calcsize("P"), struct.calcsize("Iq") - 8), "long", [], 0),
}
X86 = {
    "64 bits": ((8, 8), "long", ["-m64"], 0),
    "32 bits": ((4, 4), "long", ["-m32"], 0),
    "32 bits, ARM, with a long time": ((4, 8), "long long", ["-m32", "-malign-double"], 1),
    "32 bits, x86, with a long time": ((4, 4), "long long", ["-m32"], 1),
}
"""A compiler for x86 can lay out structures for all of them."""

if platform.machine() == "x86_64":
    MACHINES.update(X86)

FORMAT = ["type", *(f"fmt.pix.{each}" for each in ("width", "height", "pixelformat", "field"))]
FORMAT += ["fmt.pix.bytesperline", "fmt.pix.sizeimage"]
BUFFER = ["index", "type", "bytesused", "flags", "field", "timestamp.tv_sec", "timestamp.tv_usec"]
BUFFER += ["timecode", "sequence", "memory", "m.offset", "length"]
REQBUFS = ["count", "type", "memory", "capabilities", "flags"]
PARM = ["type", "parm.capture.capability", "parm.capture.capturemode"]
PARM += ["parm.capture.timeperframe.numerator", "parm.capture.timeperframe.denominator"]
CONTROL = ["id", "value"]
QUERY = ["id", "type", "name", "minimum", "maximum", "step", "default_value", "flags"]
MENU = ["id", "index", "name"]


def offsets(layout: struct.Struct) -> list[int]:
    """Return where each field is: all its bytes are set, one field after the other."""
    empty = layout.unpack(bytes(layout.size))
    found = []
    for number, each in enumerate(empty):
        values = list(empty)
        values[number] = b"\1" if isinstance(each, bytes) else 1
        found.append(layout.pack(*values).index(1))
    return found


def checks(abi: ioctl.Abi) -> list[str]:
    """Return C code that says what this code believes."""
    requests = ioctl.BufferRequests(abi)
    form = struct.Struct(abi.format)
    layouts = [
        ("v4l2_format", form, FORMAT),
        ("v4l2_buffer", requests.layout, BUFFER),
        ("v4l2_requestbuffers", ioctl.REQBUFS.layout, REQBUFS),
        ("v4l2_streamparm", ioctl.S_PARM.layout, PARM),
        ("v4l2_control", ioctl.S_CTRL.layout, CONTROL),
        ("v4l2_queryctrl", ioctl.QUERYCTRL.layout, QUERY),
        ("v4l2_querymenu", ioctl.QUERYMENU.layout, MENU),
    ]
    lines = [
        f"FIELD({name}, {field}, {offset});"
        for name, layout, fields in layouts
        for field, offset in zip(fields, offsets(layout))
    ]
    assert all(len(fields) == len(offsets(layout)) for _, layout, fields in layouts)
    numbers = {
        "S_FMT": ioctl.number(3, 5, form.size),
        "QUERYBUF": requests.query,
        "QBUF": requests.queue,
        "DQBUF": requests.dequeue,
        "REQBUFS": ioctl.REQBUFS.number,
        "STREAMON": ioctl.STREAMON,
        "STREAMOFF": ioctl.STREAMOFF,
        "S_PARM": ioctl.S_PARM.number,
        "G_CTRL": ioctl.G_CTRL.number,
        "S_CTRL": ioctl.S_CTRL.number,
        "QUERYCTRL": ioctl.QUERYCTRL.number,
        "QUERYMENU": ioctl.QUERYMENU.number,
    }
    return lines + [f"NUMBER(VIDIOC_{name}, {value:#x}u);" for name, value in numbers.items()]


@pytest.mark.process
@pytest.mark.parametrize("machine", MACHINES)
def test_layouts_are_those_of_the_kernels_header(machine: str, tmp_path: Path) -> None:
    sizes, time, flags, which = MACHINES[machine]
    abi = ioctl.abis(*sizes)[which]
    # The C library for 32 bits need not be installed: only its time is used, and that is above.
    (tmp_path / "sys").mkdir()
    (tmp_path / "sys" / "time.h").touch()
    source = tmp_path / "layouts.c"
    source.write_text("\n".join([HEADER.format(time=time), *checks(abi)]))
    multiarch = subprocess.check_output(["gcc", "-print-multiarch"], text=True).strip()
    headers = ["-I", str(tmp_path), "-idirafter", f"/usr/include/{multiarch}"]
    done = subprocess.run(
        ["gcc", "-fsyntax-only", *flags, *headers, str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_this_process_uses_the_layouts_of_its_own_machine() -> None:
    assert (ioctl.BITS_64 in ioctl.ABIS) == (struct.calcsize("P") == 8)


def test_a_signal_during_a_request_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([InterruptedError, InterruptedError, None])

    def interrupted(_fd: int, _request: int, argument: bytes) -> bytes:
        if answer := next(answers):
            raise answer
        return argument[::-1]

    monkeypatch.setattr(fcntl, "ioctl", interrupted)
    assert ioctl.send(0, 1, b"12") == b"21"


class LongTimeKernel:
    """A kernel for 32 bits that knows only 64 bits of time; its driver gives four buffers."""

    def __init__(self, abi: ioctl.Abi) -> None:
        self.requests = ioctl.BufferRequests(abi)
        self.queued: list[int] = []
        self.sequence = 0

    def ioctl(self, _fd: int, request: int, argument: bytes) -> bytes:
        """Answer as it does."""
        size = self.requests.layout.size
        if request in (ioctl.REQBUFS.number, ioctl.STREAMON, ioctl.STREAMOFF):
            return argument
        if request not in (self.requests.query, self.requests.queue, self.requests.dequeue):
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        assert len(argument) == size
        index = struct.unpack_from("I", argument)[0]
        if request == self.requests.query:
            return self.requests.layout.pack(index, 1, 0, 0, 0, 0, 0, b"", 0, 1, index * 4096, 4096)
        if request == self.requests.queue:
            self.queued.append(index)
            return argument
        stamp = (2**32 + 5, 250_000)  # seconds that need more than 32 bits
        self.sequence += 3
        rest = (b"", self.sequence, 1, 8192, 4096)
        return self.requests.layout.pack(2, 1, 100, 0x2000, 1, *stamp, *rest)


def test_a_buffer_that_is_not_enough_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def one_at_most(_fd: int, request: int, argument: bytes) -> bytes:
        if request != ioctl.REQBUFS.number:
            return argument
        count, *rest = ioctl.REQBUFS.layout.unpack(argument)
        asked.append(count)
        return ioctl.REQBUFS.layout.pack(min(count, 1), *rest)

    monkeypatch.setattr(fcntl, "ioctl", one_at_most)
    with pytest.raises(OSError, match="its driver gives only 1 of 2 buffers"):
        Buffers(-1, 4)
    assert asked == [4, 0]


@pytest.mark.parametrize("abi", [ioctl.BITS_32_LONG_TIME, ioctl.BITS_32_LONG_TIME_X86])
def test_a_kernel_without_32_bits_of_time_is_asked_the_other_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, abi: ioctl.Abi
) -> None:
    kernel = LongTimeKernel(abi)
    memory = tmp_path / "memory"
    memory.write_bytes(b"".join(bytes([number]) * 4096 for number in range(4)))
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    monkeypatch.setattr(ioctl, "ABIS", (ioctl.BITS_32, abi))
    fd = os.open(memory, os.O_RDWR)
    found = Buffers(fd, 4)
    assert kernel.queued == [0, 1, 2, 3]
    filled = found.take()
    assert filled == buffers.Filled(2, 100, 2**32 + 5.25, is_damaged=False)
    assert found.copy(filled) == b"\2" * 100
    assert found.lost == 0
    found.take()
    assert found.lost == 2
    found.close()
    os.close(fd)
