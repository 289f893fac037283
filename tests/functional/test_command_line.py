"""The ``doorbelld`` command: its options, what it refuses, and what it never prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from doorbelld import __version__
from tests.support.daemon import GUARD, ROOT, Daemon, eventually
from tests.support.pictures import claiming, jpeg
from tests.support.ports import free_port
from tests.support.sitecustomize import sitecustomize
from tests.support.visits import make_state
from tests.support.web_camera import WebCamera

MODULE = (sys.executable, "-m", "doorbelld")
SCRIPT = (str(Path(sys.executable).with_name("doorbelld")),)
"""What pip makes of pyproject.toml's [project.scripts]."""

Result = subprocess.CompletedProcess[str]


def run(
    *arguments: str,
    command: Sequence[str] = MODULE,
    environ: Mapping[str, str] = {},
    stdin: str = "",
) -> Result:
    return subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        input=stdin,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD,
    )


def check(*settings: str, environ: Mapping[str, str] = {}) -> Result:
    return run("--check", *(f"--set={setting}" for setting in settings), environ=environ)


@pytest.fixture(params=[MODULE, SCRIPT], ids=["module", "script"])
def command(request: pytest.FixtureRequest) -> Sequence[str]:
    found: Sequence[str] = request.param
    return found


def closed(redirection: str, *arguments: str, folder: Path) -> Result:
    """Run a command with a standard stream closed; its state is in ``folder``."""
    shell = ("/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *MODULE)
    port = f"--set=server.listen=127.0.0.1:{free_port()}"
    return run(*arguments, port, command=shell, environ={"STATE_DIRECTORY": str(folder)})


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_command_does_its_work_with_closed_streams(tmp_path: Path, redirection: str) -> None:
    make_state(tmp_path / "state")
    export, backup, main = (tmp_path / each for each in ("export", "backup", "etc"))
    main.mkdir()
    (main / "doorbelld.conf").touch()
    for code, arguments in (
        (0, ["visits", "--export", str(export)]),
        (0, ["backup", str(backup), "--config", str(main / "doorbelld.conf")]),
        (3, ["status"]),
        (2, ["status", "--unknown"]),
        (0, ["--help"]),
    ):
        done = closed(redirection, *arguments, folder=tmp_path / "state")
        assert done.returncode == code, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    assert len(list(export.iterdir())) > 4
    assert backup.stat().st_size > 10_000


def test_backup_to_a_closed_output_is_an_error(tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    done = closed(">&-", "backup", "-", folder=tmp_path / "state")
    assert done.returncode == 1
    assert done.stderr == "ERROR: standard output is closed: name a file, or use a pipe\n"


# Options.


def test_version(command: Sequence[str]) -> None:
    done = run("--version", command=command)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"doorbelld {__version__}\n", "")


def test_help_names_every_option_and_command(command: Sequence[str]) -> None:
    done = run("--help", command=command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: doorbelld "), "under whichever name it was started"
    for word in ("--config", "--set", "--check", "--version", "-v", "status", "cameras", "--json"):
        assert re.search(rf"^  (\{{.*)?{word}\b|^  +{word}\b|{word}:", done.stdout, re.MULTILINE)
    assert "/etc/doorbelld/doorbelld.conf" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["dance"], "invalid choice: 'dance'"),
        (["status", "cameras"], "unrecognized arguments: cameras"),
        (["status", "--nonsense", "--force"], "unrecognized arguments: --nonsense"),
        (["--set"], "argument --set: expected one argument"),
        (["--config"], "argument --config: expected one argument"),
    ],
)
def test_unknown_words_are_refused(command: Sequence[str], arguments: list[str], why: str) -> None:
    done = run(*arguments, command=command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: doorbelld ")
    assert why in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--check", "passwd"], "--check goes with no command"),
        (["--check", "make-certificate"], "--check goes with no command"),
        (["status", "--check"], "--check goes with no command"),
        (["cameras", "--che"], "--check goes with no command"),
        (["--json"], "--json goes with status or visits or cameras"),
        (["--json", "passwd"], "--json goes with status or visits or cameras"),
        (["--check", "--json"], "--json goes with status or visits or cameras"),
        (["--force"], "--force goes with make-certificate"),
        (["status", "--force"], "--force goes with make-certificate"),
        (["passwd", "--force"], "--force goes with make-certificate"),
        (["--remove"], "--remove goes with passwd"),
        (["make-certificate", "--remove"], "--remove goes with passwd"),
        (["check", "--json"], "--json goes with status or visits or cameras"),
        (["run", "--renew"], "--renew goes with embed-url"),
    ],
)
def test_option_of_another_command_is_refused_and_nothing_done(
    tmp_path: Path, arguments: list[str], why: str
) -> None:
    files = [f"--set=access.{key}={tmp_path}/{key}" for key in ("tls_certificate", "tls_key")]
    files.append(f"--set=access.password_file={tmp_path}/password")
    done = run(*arguments, *files, stdin="correct horse\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"doorbelld: error: {why}\n")
    assert list(tmp_path.iterdir()) == []


def test_configuration_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    os.mkfifo(path)
    done = run("--config", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"ERROR: {path}: cannot be read: it is a named pipe\n"


def test_script_runs_the_daemon_as_the_module_does(daemon: Daemon) -> None:
    # All other tests start the daemon by its module.
    process = subprocess.Popen(
        [*SCRIPT, "--set=camera.source=pattern", "--set=server.listen=127.0.0.1:0"],
        cwd=daemon.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr
        said = ""
        while "open http" not in said:
            said = process.stderr.readline()
            assert said, "it ends"
        daemon.port = int(said.strip().rstrip("/").rpartition(":")[2])
        daemon.wait_for_state("streaming")
        process.terminate()
    assert process.returncode == 0


def test_requests_are_logged_only_when_asked_for(daemon: Daemon) -> None:
    daemon.start()
    daemon.request("/healthz")
    assert daemon.stop() == 0
    assert "/healthz" not in daemon.log()
    daemon.start(arguments=["-v"], wait=False)
    eventually(lambda: daemon.log().count("open http") == 2, "listening again")
    daemon.request("/healthz")
    daemon.wait_for_log("127.0.0.1: 'GET /healthz HTTP/1.1': (?:503|200)")


# Checking.


def test_check_prints_the_effective_configuration_and_the_camera() -> None:
    done = check("camera.source=pattern", "camera.resolution=320x240", "server.listen=:0,[::1]:80")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"\[camera\]\nsource = pattern\nverify = yes\nresolution = 320x240\nframerate = 30\n"
        r"framerate_dark = 10\nquality = 80\nrotation = 0\nhflip = no\nvflip = no\n"
        r"stall_timeout = 5\n"
        r"(\w+ = default\n){11}zoom = 0, 0, 1, 1\ntuning = none\nname = Front door\n"
        r"\[server\]\nlisten = :0, \[::1\]:80\nmax_viewers = 100\nmax_requests = 32\n"
        r"header_timeout = 10\nstall_timeout = 10\n"
        r"\[access\]\nnetworks = lan\n(\w+ = .+\n)+"
        r"\[bell\]\nbutton = auto\n(\w+ = .+\n)+\[visits\]\nbefore = 5\n(\w+ = .+\n)+"
        r"\[notify\]\nntfy = none\n(\w+ = .+\n)+\[mqtt\]\nbroker = none\n(\w+ = .+\n)+"
        r"\nFound Test pattern: 320x240, \d+ bytes a picture\.\ndoorbelld would stream it\.\n",
        done.stdout,
    )


@pytest.mark.parametrize("how", [["check"], ["run", "--check"], ["--check", "run"]])
def test_check_is_a_command_too(how: list[str]) -> None:
    settings = ["--set=camera.source=pattern", "--set=camera.rotation=90"]
    done = run(*settings, *how)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\ndoorbelld would stream it.\n")
    assert "rotation = 90\n" in done.stdout
    done = run(*how, "--set=camera.rotation=45")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ERROR: --set camera.rotation = 45: must be 0, 90, 180 or 270\n"


@pytest.mark.parametrize("command", ["status", "make-certificate", "passwd", "embed-url", "run"])
def test_every_command_refuses_a_bad_configuration_in_the_same_way(
    command: str, tmp_path: Path
) -> None:
    for environ, code in (({}, 2), ({"NOTIFY_SOCKET": str(tmp_path / "none")}, 78)):
        done = run(command, "--set=server.listen=x", environ=environ, stdin="correct horse\n")
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith("ERROR: --set server.listen = x: must be HOST:PORT")


def test_run_is_the_daemon(daemon: Daemon) -> None:
    daemon.start(arguments=["run"])
    assert daemon.stop() == 0


def test_check_of_a_camera_that_is_missing(tmp_path: Path) -> None:
    done = check(f"camera.source=file:{tmp_path}/camera.mjpeg")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith(
        f"\n\nNo picture: There is no file {tmp_path}/camera.mjpeg.\n"
        "doorbelld would start, show that in the picture's place, and keep trying.\n"
    )


def test_check_of_a_camera_that_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "camera.mjpeg"
    os.mkfifo(path)
    with path.open("r+b", buffering=0):
        done = check(f"camera.source=file:{path}", "camera.stall_timeout=0.5")
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"\nFound .*, but no picture: .* 0\.5 s\.\n", done.stdout)


@pytest.mark.parametrize(
    ("rotation", "data", "why"),
    [
        (
            90,
            claiming(8000, 8000),
            "more than 12.6 million pixels, which are too large to turn,",
        ),
        (0, claiming(8000, 8000), "more than 50 million pixels"),
        (0, claiming(0, 0), "damaged pictures"),
    ],
)
def test_check_of_a_camera_whose_pictures_are_left_out(
    tmp_path: Path, rotation: int, data: bytes, why: str
) -> None:
    path = tmp_path / "camera.mjpeg"
    path.write_bytes(data)
    settings = f"camera.rotation={rotation}", "camera.stall_timeout=0.5"
    done = check(f"camera.source=file:{path}", *settings)
    assert done.returncode == 1
    assert why in done.stdout


def test_check_of_a_driver_that_fails_in_its_own_way(tmp_path: Path) -> None:
    done = check("camera.source=pattern", environ=sitecustomize(tmp_path, "failing", FAILING))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2].startswith("No picture: ")
    assert "SystemError: the sensor is on fire" in done.stderr, "what there is to report"


FAILING = """
from doorbelld.camera.pattern import PatternCamera
def fail(self):
    raise SystemError("the sensor is on fire")
PatternCamera.open = fail
"""
"""A sitecustomize module: the test card's driver raises what no driver should."""


def test_check_can_be_printed_by_every_terminal() -> None:
    done = check("camera.source=pattern", "camera.name=T\u00fcr", environ=ASCII)
    assert (done.returncode, done.stderr) == (0, "")
    assert "name = T?r\n" in done.stdout


ASCII = {"PYTHONIOENCODING": "ascii"}


def test_check_of_a_bad_configuration() -> None:
    done = check("camera.rotation=45")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ERROR: --set camera.rotation = 45: must be 0, 90, 180 or 270\n"


# Where a value comes from, and its mistakes.


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_settings_win_over_conf_d_and_that_over_the_file(tmp_path: Path, daemon: Daemon) -> None:
    main = write(
        tmp_path / "etc" / "x.conf",
        "[camera]\nname=file\nframerate=11\n[server]\nmax_viewers=11\nmax_requests=11\n",
    )
    drop_ins = main.with_name("conf.d")
    write(drop_ins / "20-b.conf", "[server]\nmax_viewers=22\n")
    write(drop_ins / "10-a.conf", "[camera]\nname=drop-in\n[server]\nmax_viewers=12\n")
    daemon.start({"camera.name": "option"}, arguments=["--config", str(main)])
    status = daemon.status()
    assert status["camera"]["name"] == "option"
    assert status["limits"]["max_viewers"] == 22
    assert status["limits"]["max_requests"] == 11
    done = run("--check", "--config", str(main), "--set=camera.source=pattern")
    assert "name = drop-in\n" in done.stdout
    assert "framerate = 11\n" in done.stdout


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    main = write(tmp_path / "etc" / "x.conf", "[camera]\nrotation = 45\nqualty = 80\n[doors]\n")
    other = write(tmp_path / "etc" / "conf.d" / "y.conf", "\n[server]\nlisten = 5000\n")
    done = run("--config", str(main), "--set=camera.hflip=maybe")
    assert (done.returncode, done.stdout) == (2, "")
    hosts = "HOST:PORT or :PORT, or several separated by commas"
    sections = "camera, server, access, bell, visits, notify, mqtt"
    assert done.stderr.splitlines() == [
        f"ERROR: {main}:2: [camera] rotation = 45: must be 0, 90, 180 or 270",
        f"ERROR: {main}:3: [camera] qualty: unknown key 'qualty'; did you mean quality?",
        f"ERROR: {main}:4: unknown section 'doors'; known are {sections}",
        f"ERROR: {other}:3: [server] listen = 5000: must be {hosts}",
        "ERROR: --set camera.hflip = maybe: must be yes or no",
    ]


# What is never printed.

SECRETS = ("anton", "sesame", "c0de")
CREDENTIALS = "anton:sesame@"


def assert_no_secret_in(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


def test_password_of_a_camera_is_used_and_never_shown(daemon: Daemon) -> None:
    with WebCamera([jpeg(1)], credentials="anton:sesame") as camera:
        source = f"http://{CREDENTIALS}{camera.address}/user=anton&password=sesame?pin=c0de"
        daemon.start({"camera.source": source}, arguments=["-v"])
        daemon.wait_for_state("streaming")
        status = daemon.request("/status")[1].decode()
        assert json.loads(status)["camera"]["source"] == f"http://{camera.address}/..."
        assert_no_secret_in(status)
        done = check(f"camera.source={source}")
        assert done.returncode == 0
        assert_no_secret_in(done.stdout + done.stderr)
        assert daemon.stop() == 0
        assert_no_secret_in(daemon.log())


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_password_is_not_shown_when_the_camera_is_missing(daemon: Daemon, scheme: str) -> None:
    source = f"{scheme}://{CREDENTIALS}127.0.0.1:1/user=anton&password=sesame?pin=c0de"
    daemon.start({"camera.source": source}, arguments=["-v"])
    detail = daemon.wait_for_state("offline")["detail"]
    assert detail == f"Cannot get pictures from {scheme}://127.0.0.1:1: nothing listens there"
    assert_no_secret_in(daemon.request("/status")[1].decode())
    assert daemon.stop() == 0
    assert_no_secret_in(daemon.log())


@pytest.mark.parametrize(
    "setting",
    [
        f"camera.source=ftp://{CREDENTIALS}cam/?pin=c0de",
        "camera.source=ftp://cam/user=anton&password=sesame",
        "camera.source=rtsp://cam/user=anton password=sesame",
        f"camera.source='rtsp://{CREDENTIALS}cam/?pin=c0de'",
        f"camera.source=rtsp://{CREDENTIALS}cam/\n?pin=c0de",
        "camera.source=rtsp://anton:ses/ame?sesame@cam/",
        f"camera.sauce=rtsp://{CREDENTIALS}cam/?pin=c0de",
        f"camara.source=rtsp://{CREDENTIALS}cam/?pin=c0de",
        f"camera-source=rtsp://{CREDENTIALS}cam/?pin=c0de",
        f"server.listen=rtsp://{CREDENTIALS}cam/?pin=c0de",
    ],
)
def test_password_is_not_shown_when_the_setting_is_wrong(setting: str) -> None:
    done = check(setting)
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR: --set ")
    assert_no_secret_in(done.stderr)
