from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from doorbelld.camera import picamera, picamera2
from doorbelld.cli import main
from doorbelld.drivers.errors import CameraError
from doorbelld.v4l2 import devices
from doorbelld.v4l2.devices import Device
from doorbelld.v4l2.formats import Format
from tests.support import picamera2_settings

if TYPE_CHECKING:
    from pathlib import Path


def run(*options: str) -> int:
    """Run the command in this process; return its exit code."""
    return main(["cameras", *options])


BUSY = "The camera {} is in use by another program"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Format] | str]:
    """Two webcams; what they offer, or what is wrong with them, may be changed."""
    first, second = str(tmp_path / "video0"), str(tmp_path / "video2")
    offers: dict[str, list[Format] | str] = {
        first: [Format("MJPG", ("640x480", "1280x720")), Format("YUYV", ("640x480",))],
        second: [Format("GREY", ())],
    }

    def probe(path: str) -> Device:
        if isinstance(offers[path], str):
            raise CameraError(str(offers[path]))
        return Device(path, "Webcam")

    def formats(path: str) -> list[Format]:
        offer = offers[path]
        return [] if isinstance(offer, str) else offer

    for library in (picamera, picamera2):
        monkeypatch.setattr(library, "connected", dict)
    monkeypatch.setattr(devices, "find", lambda: [Device(path, "Webcam") for path in offers])
    monkeypatch.setattr(devices, "probe", probe)
    monkeypatch.setattr(devices, "formats", formats)
    return offers


def test_lists_what_there_is_and_what_auto_takes(
    machine: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = machine
    assert run() == 0
    assert capsys.readouterr().out == (
        f"v4l2:{first}  Webcam  (auto takes this one)\n"
        "    MJPG  640x480, 1280x720\n"
        "    YUYV  640x480\n"
        "\n"
        f"v4l2:{second}  Webcam\n"
        "    GREY  \n"
    )


def test_prints_json(machine: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    first = json.loads(capsys.readouterr().out)["cameras"][0]
    assert first == {
        "source": f"v4l2:{next(iter(machine))}",
        "name": "Webcam",
        "problem": None,
        "used_by": [],
        "formats": [
            {"format": "MJPG", "sizes": ["640x480", "1280x720"]},
            {"format": "YUYV", "sizes": ["640x480"]},
        ],
        "auto": True,
    }


def test_says_what_is_wrong_with_a_camera(
    machine: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    first = next(iter(machine))
    machine[first] = "No permission to use it"
    run()
    assert "    No permission to use it\n" in capsys.readouterr().out


@pytest.mark.process
def test_names_the_program_that_uses_a_camera(
    machine: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = next(iter(machine))
    machine[first] = BUSY.format(first)
    program = tmp_path / "holder"
    program.symlink_to(sys.executable)
    script = f"file = open({first!r}, 'w'); print(flush=True); input()"
    with subprocess.Popen(
        [program, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        run()
        process.communicate(b"\n")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "    In use by holder"
    assert not any("another program" in line for line in lines)


def test_a_camera_of_a_raspberry_pi_comes_first(
    machine: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.popitem()
    monkeypatch.setattr(picamera2, "connected", lambda: {1: "imx708", 0: ""})
    run("--json")
    rows = json.loads(capsys.readouterr().out)["cameras"]
    assert [(row["source"], row["name"]) for row in rows] == [
        ("picamera2:0", "Raspberry Pi camera 0"),
        ("picamera2:1", "Raspberry Pi camera 1 imx708"),
        (f"v4l2:{next(iter(machine))}", "Webcam"),
    ]
    assert [row["auto"] for row in rows] == [True, False, False]


@pytest.fixture
def pi(machine: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the class of a Raspberry Pi's camera, the only camera of the machine."""
    machine.clear()
    found = picamera2_settings.install(monkeypatch)
    monkeypatch.setattr(picamera2, "connected", lambda: {0: "imx708"})
    return found


def test_lists_what_can_be_set_on_a_camera_of_a_raspberry_pi(
    pi: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    first, focus, *others = capsys.readouterr().out.splitlines()
    assert first == "picamera2:0  Raspberry Pi camera 0 imx708  (auto takes this one)"
    assert focus == "    focus: auto, infinity, 0.06667 to 1000 (metres) (now auto)"
    assert "    power_line_frequency: off, 50 Hz, 60 Hz (now off)" in others
    run("--json")
    [row] = json.loads(capsys.readouterr().out)["cameras"]
    assert row["controls"][3] == {"name": "brightness", "values": "-1 to 1", "value": "0"}
    assert pi.made
    assert all(camera.closed for camera in pi.made)


def test_lists_no_settings_of_a_camera_in_use(
    pi: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        logging.getLogger("picamera2").error("Camera __init__ sequence did not complete.")
        raise RuntimeError("Camera __init__ sequence did not complete.")

    monkeypatch.setattr(pi, "__init__", refuse)
    assert run() == 0
    assert capsys.readouterr().out == (
        "picamera2:0  Raspberry Pi camera 0 imx708  (auto takes this one)\n"
    )
    assert caplog.messages == []


def test_lists_settings_even_if_a_camera_cannot_be_configured(
    pi: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Configuration failed")

    monkeypatch.setattr(pi, "configure", fail)
    run()
    assert "brightness: -1 to 1 (now 0)" in capsys.readouterr().out
    assert pi.made[0].closed


def test_says_that_there_is_none(
    machine: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    machine.clear()
    assert run() == 1
    assert capsys.readouterr().out == "No camera found; check that one is plugged in\n"
    assert run("--json") == 1
    assert json.loads(capsys.readouterr().out) == {"cameras": []}


@pytest.mark.process
def test_is_a_command(tmp_path: Path) -> None:
    """On this very machine, whatever it has: it must not fail, and must not need OpenCV."""
    (tmp_path / "cv2.py").write_text("raise ImportError\n")
    done = subprocess.run(
        [sys.executable, "-m", "doorbelld", "cameras", "--json"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    rows = json.loads(done.stdout)["cameras"]
    assert done.returncode == (0 if rows else 1)
