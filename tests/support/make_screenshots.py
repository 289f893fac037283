"""Takes the README's pictures: the real page of a real daemon, and a drawn front door.

Run it from the top folder: ``tools/screenshots``.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser

from tests.support import chromium, scene, v4l2
from tests.support.daemon import ROOT, Daemon
from tests.support.phone import LANDSCAPE, PORTRAIT, Phone

DOCS = ROOT / "docs"
_DEVICE = "/dev/video0"
_SIZE = f"{scene.WIDTH}x{scene.HEIGHT}"
_DUSK = 18
"""The hour."""


def main() -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        device = v4l2.V4l2Device(v4l2.build(folder), folder, [scene.front_door()])
        with Daemon(folder) as daemon, chromium.chromium(folder / "profile") as browser:
            daemon.start(
                {"camera.source": f"v4l2:{_DEVICE}", "camera.resolution": _SIZE},
                environ={
                    **device.environ,
                    "FAKE_V4L2_DEVICE": _DEVICE,
                    "FAKE_V4L2_SIZE": _SIZE,
                },
            )
            daemon.wait_for_state("streaming")
            phone = _phone(browser).open(daemon).wait_for("live")
            _take(phone, PORTRAIT, "page-portrait")
            _take(phone, LANDSCAPE, "page-landscape")
            device.become("unplugged")
            phone.wait_for("offline")
            _take(phone, LANDSCAPE, "page-offline")


def _phone(browser: Browser) -> Phone:
    # A time zone in which it is dusk now; Etc/GMT counts to the west.
    west = (time.gmtime().tm_hour - _DUSK + 12) % 24 - 12
    context = browser.new_context(
        is_mobile=True,
        has_touch=True,
        device_scale_factor=1.5,
        locale="en-GB",
        timezone_id=f"Etc/GMT{west:+d}",
    )
    return Phone(context.new_page())


def _take(phone: Phone, size: tuple[int, int], name: str) -> None:
    phone.turn(*size)
    # Two requests for the status: by then every fade is over.
    for _ in range(2):
        phone.page.wait_for_event("requestfinished", lambda request: "/status" in request.url)
    whole = phone.page.screenshot()
    # A palette, or the dusk alone would take half a megabyte.
    palette = "split[a][b];[a]palettegen=max_colors=255[p];[b][p]paletteuse=dither=sierra2_4a"
    command = ["ffmpeg", "-loglevel", "error", "-y", "-i", "-", "-vf", palette]
    subprocess.run([*command, DOCS / f"{name}.png"], input=whole, check=True)
    print(f"docs/{name}.png: {(DOCS / f'{name}.png').stat().st_size // 1024} KB")  # noqa: T201


if __name__ == "__main__":
    main()
