"""The frames that every server sends: sixty JPEGs that resemble photos.

They are generated from a seed, so that every run on every machine sends the same bytes, and
padded to the same length, so that frames can be counted in bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 60
WIDTH, HEIGHT = 640, 480
FPS = 30
LENGTH = 46_000
"""Bytes of every JPEG."""

_QUALITY = 80
_SEED = 20240601
_MAX_PADDING = 65_533


@dataclass(frozen=True)
class Material:
    """The same pictures in every form that a server needs."""

    folder: Path
    mjpeg: Path
    video: Path
    part: Path


def make(directory: Path) -> Material:
    """Draw the pictures, unless ``directory`` already has them."""
    material = Material(
        folder=directory / "frames",
        mjpeg=directory / "frames.mjpeg",
        video=directory / "frames.avi",
        part=directory / "part",
    )
    if material.part.exists():
        return material
    material.folder.mkdir(parents=True, exist_ok=True)
    pictures = list(_pictures())
    jpegs = [encode(picture) for picture in pictures]
    for number, jpeg in enumerate(jpegs):
        (material.folder / f"{number:03d}.jpg").write_bytes(jpeg)
    material.mjpeg.write_bytes(b"".join(jpegs))
    _write_video(material.video, pictures)
    material.part.write_bytes(_part(jpegs[0]))  # last: if it exists, all others do
    return material


def _pictures() -> Any:
    """Yield pictures as if the camera moved along a house: soft shapes, texture and some noise."""
    random = np.random.default_rng(_SEED)
    scene: Any = np.zeros((HEIGHT + COUNT, WIDTH + COUNT, 3), np.float32)
    for cells, weight in ((4, 90), (12, 45), (40, 24), (130, 18)):
        coarse = random.random((cells * 3 // 4, cells, 3), np.float32)
        size = (scene.shape[1], scene.shape[0])
        scene += weight * cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    for number in range(COUNT):
        view = scene[number : number + HEIGHT, number : number + WIDTH]
        noise = random.normal(0, 6.5, view.shape).astype(np.float32)
        picture = np.clip(view + noise, 0, 255).astype(np.uint8)
        cv2.putText(picture, f"{number:04d}", (20, 40), 0, 1.2, (255, 255, 255), 2)
        yield picture


def encode(picture: Any) -> bytes:
    """Encode a picture, and pad it to LENGTH."""
    ok, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not ok:
        raise ValueError("a picture cannot be encoded")
    return padded(encoded.tobytes(), LENGTH)


def padded(data: bytes, length: int) -> bytes:
    """Return a JPEG of this length, with a comment, which decoders skip."""
    padding = length - len(data) - 4
    if not 0 <= padding <= _MAX_PADDING:
        raise ValueError(f"a picture of {len(data)} bytes cannot be padded to {length}")
    comment = b"\xff\xfe" + struct.pack(">H", padding + 2) + bytes(padding)
    return data[:2] + comment + data[2:]


def _write_video(path: Path, pictures: list[Any]) -> None:
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, fourcc, FPS, (WIDTH, HEIGHT))
    for picture in pictures:
        writer.write(picture)
    writer.release()


def _part(jpeg: bytes) -> bytes:
    """Return a complete multipart part, for the send loop, which cannot make one."""
    head = (
        "--frame\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(jpeg)}\r\nX-Timestamp: 1700000000.000000\r\n\r\n"
    )
    return head.encode() + jpeg + b"\r\n"
