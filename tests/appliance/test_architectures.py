"""The packages for the processors of the Raspberry Pi, run here by qemu-user."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.appliance import roots
from tests.appliance.package import Package
from tests.support.daemon import ROOT, Daemon
from tests.support.pictures import jpeg
from tests.support.stream import Stream

EMULATORS = {"arm64": "qemu-aarch64-static", "armhf": "qemu-arm-static"}
TRIPLETS = {"arm64": "aarch64-linux-gnu", "armhf": "arm-linux-gnueabihf"}


class EmulatedDaemon(Daemon):
    """A daemon of another architecture, from its package unpacked into a separate root."""

    def __init__(self, folder: Path, root: Path, arch: str) -> None:
        super().__init__(folder)
        # No package scripts were run, so the alternatives for BLAS are not set up.
        libraries = [f"/usr/lib/{TRIPLETS[arch]}/{name}" for name in ("blas", "lapack")]
        environ = [f"LD_LIBRARY_PATH={':'.join(libraries)}", "PATH=/usr/sbin:/usr/bin", "HOME=/"]
        emulator = f"/usr/bin/{EMULATORS[arch]}"
        self.command = ["env", "-i", *environ, "chroot", str(root), emulator]
        self.command += ["/usr/bin/python3", "-I", "/usr/bin/doorbelld"]


@contextmanager
def machine(arch: str, folder: Path) -> Iterator[tuple[EmulatedDaemon, Path, Package]]:
    """Yield the daemon from the package for an architecture, in a Debian of that architecture."""
    subprocess.run(["tools/deb", arch], cwd=ROOT, check=True)
    package = Package(next((ROOT / "dist").glob(f"doorbelld_*_{arch}.deb")))
    root = roots.unpack(folder / arch, "bookworm", package.needs(), arch)
    subprocess.run(["dpkg-deb", "--extract", str(package.path), str(root)], check=True)
    shutil.copy(f"/usr/bin/{EMULATORS[arch]}", root / "usr/bin")
    try:
        daemon = EmulatedDaemon(folder, root, arch)
        with daemon:
            yield daemon, root, package
    finally:
        shutil.rmtree(root)


def test_arm64_draws_the_test_card_with_the_opencv_in_its_package(tmp_path: Path) -> None:
    with machine("arm64", tmp_path) as (daemon, root, package):
        daemon.start({"camera.framerate": 5})
        daemon.wait_for_state("streaming")
        with Stream(daemon) as stream:
            first, second = stream.part().body, stream.part().body
        assert first != second
        assert daemon.request("/")[0].status == 200
        assert "python3-opencv" not in package.field("Recommends")
        assert not list(root.glob("usr/lib/python3/dist-packages/cv2*"))


def test_armhf_sends_jpegs_without_opencv(tmp_path: Path) -> None:
    with machine("armhf", tmp_path) as (daemon, root, package):
        (root / "film.mjpeg").write_bytes(b"".join(jpeg(number) for number in range(4)))
        daemon.start({"camera.source": "file:/film.mjpeg", "camera.framerate": 5})
        daemon.wait_for_state("streaming")
        with Stream(daemon) as stream:
            assert {stream.part().body for _ in range(6)} <= {jpeg(number) for number in range(4)}
        assert "python3-opencv" in package.field("Recommends")
        assert not list(root.glob("usr/lib/**/cv2*"))
