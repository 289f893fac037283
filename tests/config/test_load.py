from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorbelld.config import load as config
from doorbelld.config.load import ConfigError
from doorbelld.config.schema import SECTIONS, Config
from doorbelld.config.values import Listen, Resolution
from doorbelld.system import files


@pytest.fixture(autouse=True, scope="module")
def _a_system_without_configuration() -> Iterator[None]:
    before, config.DEFAULT_PATH = config.DEFAULT_PATH, Path("/nonexistent/doorbelld.conf")
    yield
    config.DEFAULT_PATH = before


HOSTS = "HOST:PORT or :PORT, or several separated by commas"
SOURCES = (
    "auto pattern picamera picamera:1 picamera2:0 v4l2:/dev/video0 file:/a/b.mjpeg http://cam/x"
    " https://u:p@cam rtsp://cam:554/"
)


WEB_URLS = "http://a https://ntfy.sh/TOPIC http://10.0.0.7:8123/api/webhook/x?y=z http://[::1]:1/a"
PAGE_URLS = "http://a https://door.example/x/ http://10.0.0.7:5000 http://[::1]:1/a"

CONTROLS = (
    *("focus", "exposure", "gain", "brightness", "contrast", "saturation", "sharpness"),
    *("white_balance", "metering", "power_line_frequency", "hdr"),
)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def problems(path: Path | None = None, *settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(path, settings)
    return list(caught.value.problems)


def test_without_any_file_everything_has_its_default() -> None:
    assert config.load() == Config()


def test_later_files_win_and_settings_win_over_files(tmp_path: Path) -> None:
    main = write(tmp_path / "doorbelld.conf", "[camera]\nquality=1\nframerate=1\nrotation=90\n")
    write(tmp_path / "conf.d" / "20.conf", "[camera]\nquality=3\n")
    write(tmp_path / "conf.d" / "10.conf", "[camera]\nquality=2\nframerate=2\n")
    write(tmp_path / "conf.d" / "30.txt", "[camera]\nquality=4\n")
    camera = config.load(main, ["camera.framerate=7.5"]).camera
    assert (camera.quality, camera.framerate, camera.rotation) == (3, 7.5, 90)


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.conf",
        """\
[camera]
source = rtsp://user:p%40ss@10.0.0.7/stream?a=b;c
resolution = 1280 x 720
hflip = yes
vflip = off
name = Haustür № 7
[server]
listen = 127.0.0.1:80, [::1]:8080, :0, door.local:5000
""",
    )
    found = config.load(path)
    assert found.camera.source == "rtsp://user:p%40ss@10.0.0.7/stream?a=b;c"
    assert found.camera.resolution == Resolution(1280, 720)
    assert (found.camera.hflip, found.camera.vflip) == (True, False)
    assert found.camera.name == "Haustür № 7"
    assert found.server.listen == (
        Listen("127.0.0.1", 80),
        Listen("::1", 8080),
        Listen("", 0),
        Listen("door.local", 5000),
    )


def test_all_problems_of_all_files_are_reported_at_once_with_their_places(tmp_path: Path) -> None:
    main = write(
        tmp_path / "doorbelld.conf",
        """\
# a comment
[camera]
rotation = 45
qualty = 80
[doors]
x = y
[camera]
hflip = maybe
hflip = yes
""",
    )
    other = write(tmp_path / "conf.d" / "x.conf", "\n[server]\nlisten = 5000\nmax_viewers\n")
    known = "camera, server, access, bell, visits, notify, mqtt"
    assert sorted(problems(main, "camera.framerate=fast", "server", "a.b=c")) == sorted(
        [
            f"{main}:3: [camera] rotation = 45: must be 0, 90, 180 or 270",
            f"{main}:4: [camera] qualty: unknown key 'qualty'; did you mean quality?",
            f"{main}:5: unknown section 'doors'; known are {known}",
            f"{main}:9: [camera] hflip: is set twice",
            f"{other}:3: [server] listen = 5000: must be {HOSTS}",
            f"{other}:4: is not KEY = VALUE",
            "--set camera.framerate = fast: must be a number of frames a second from 0.1 to 240",
            "--set server: must be SECTION.KEY=VALUE",
            f"--set a.b=c: unknown section 'a'; known are {known}",
        ]
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("quality = 3\n", ":1: a [section] line must come before the first key"),
        ("[DEFAULT]\nquality = 3\n", ":1: unknown section 'DEFAULT'"),
        ("[camera]\nQuality = 3\n", ":2: [camera] Quality: unknown key 'Quality'; did you mean"),
        ("[camera]\nsource = auto\n quality = 3\n", "= 'auto\\nquality = 3': must be"),
        ("[camera]\nname =\n", ":2: [camera] name = : must be 1 to 64 printable characters"),
    ],
)
def test_mistakes_of_form_are_explained(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path / "x.conf", text)
    (found,) = problems(path)
    assert found.startswith(str(path))
    assert problem in found


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    assert problems(path) == [f"{path}: cannot be read: No such file or directory"]
    path.write_bytes(b"[camera]\nname = T\xfcr\n")
    assert problems(path) == [f"{path}:2: this line is not UTF-8 text"]


@pytest.fixture
def drop_ins(tmp_path: Path) -> Path:
    """Return a conf.d with one good file in it."""
    return write(tmp_path / "conf.d" / "good.conf", "[camera]\nquality = 7\n").parent


@pytest.mark.parametrize(
    "name", [".x.conf", "._x.conf", ".x.conf.swp", "x.conf~", "x.conf.dpkg-old", "x.CONF", "conf"]
)
def test_files_that_editors_and_other_systems_leave_are_skipped(drop_ins: Path, name: str) -> None:
    (drop_ins / name).write_bytes(b"\0\5\xff no configuration")
    assert config.load(drop_ins.parent / "conf.d" / "good.conf").camera.quality == 7
    assert config.load(write(drop_ins.parent / "main.conf", "")).camera.quality == 7


def test_lock_of_an_editor_is_skipped(drop_ins: Path) -> None:
    (drop_ins / ".#good.conf").symlink_to("me@here.1234:1700000000")
    assert config.load(write(drop_ins.parent / "main.conf", "")).camera.quality == 7


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device", "link to a pipe"])
def test_what_is_not_a_file_is_skipped_in_conf_d(drop_ins: Path, kind: str) -> None:
    path = drop_ins / "x.conf"
    with socket.socket(socket.AF_UNIX) as sock:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "socket":
            sock.bind(str(path))
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            os.mkfifo(drop_ins / "pipe")
            path.symlink_to("pipe")
        assert config.load(write(drop_ins.parent / "main.conf", "")).camera.quality == 7


def test_link_to_a_file_that_is_missing_is_named(drop_ins: Path) -> None:
    path = drop_ins / "x.conf"
    path.symlink_to("nowhere")
    main = write(drop_ins.parent / "main.conf", "")
    assert problems(main) == [f"{path}: cannot be read: No such file or directory"]
    path.unlink()
    path.symlink_to(path)
    assert problems(main) == [f"{path}: cannot be read: Too many levels of symbolic links"]


def test_the_systems_own_file_may_be_missing_but_not_a_link_to_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "doorbelld.conf"
    monkeypatch.setattr(config, "DEFAULT_PATH", path)
    assert config.load() == Config()
    path.symlink_to("nowhere")
    assert problems() == [f"{path}: cannot be read: No such file or directory"]


def test_conf_d_that_is_not_a_folder_is_named(tmp_path: Path) -> None:
    main = write(tmp_path / "x.conf", "")
    write(tmp_path / "conf.d", "")
    assert problems(main) == [f"{tmp_path}/conf.d: cannot be read: Not a directory"]


def test_main_file_that_is_not_a_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    os.mkfifo(path)
    assert problems(path) == [f"{path}: cannot be read: it is a named pipe"]
    assert problems(Path("/dev/zero")) == ["/dev/zero: cannot be read: it is a device"]
    assert problems(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        (problem,) = problems(tmp_path / "socket")
    assert problem.endswith("cannot be read: it is a socket")
    assert config.load(Path(os.devnull)) == Config()


def test_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert problems(path) == [f"{path}: cannot be read: it is larger than 1 MB"]
    with path.open("wb") as file:
        file.write(b"# \n" * (files.MOST // 3))
    assert config.load(path) == Config()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_other_systems_end_them(tmp_path: Path, end: str) -> None:
    path = tmp_path / "x.conf"
    path.write_bytes(end.join(["\ufeff[camera]", "quality = 7", "hflip = maybe", ""]).encode())
    assert problems(path) == [f"{path}:3: [camera] hflip = maybe: must be yes or no"]


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        (
            "camera.source",
            SOURCES,
            "webcam v4l2: v4l2:video0 file: http:// ftp://cam/x picamera:x rtsp:///x http://[::1",
        ),
        ("camera.resolution", "16x16 9999x9999 640X480", "640 x480 15x640 640x 0x0 10000x1 axb"),
        ("camera.framerate", "0.1 30 29.97 240", "0 -1 nan inf 241 x"),
        ("camera.quality", "1 100", "0 101 80.5 x"),
        ("camera.rotation", "0 90 180 270", "-90 360 45 x"),
        ("camera.hflip", "yes no on off 1 0 True", "2 maybe y"),
        ("camera.verify", "yes no", "off-and-on"),
        *(
            (f"camera.{key}", "default auto 0 -1.5 5000 60Hz cool-white", "; $x 1e9 nan! 1.2.3")
            for key in CONTROLS
        ),
        ("camera.zoom", "0,0,1,1 0.25,0.5,0.5,0.5", "0,0,1 0,0,2,1 -1,0,1,1 .5,0,.6,1 0,0,0,1 a"),
        ("camera.tuning", "none imx219_noir.json /etc/x.json", "x /etc/x"),
        ("camera.framerate_dark", "0.1 10 240", "0 nan 241"),
        ("camera.stall_timeout", "0.5 5 3600", "0.4 nan 3601"),
        ("server.listen", ":0 :65535 0.0.0.0:1 [::]:5000 h:1,h:2", ":65536 5000 ::1:5000 : h:x ,"),
        ("server.max_viewers", "1 100000", "0 1.5 -1"),
        ("server.max_requests", "1 1024", "0 1025"),
        ("server.header_timeout", "0.1 10", "0 inf"),
        ("server.stall_timeout", "0.5 10", "0.1 -inf"),
        ("access.password_file", "none /etc/doorbelld/password", "password ~/x"),
        ("access.embed_key_file", "none /etc/doorbelld/embed_key", "embed_key ~/x"),
        ("access.networks", "lan any 10.0.0.0/8,lan ::1 fe80::/10", "LAN none 10.0.0.1/8 x , lan,"),
        (
            "access.trusted_proxies",
            "none 127.0.0.1,::1 lan",
            "proxy 1.2.3 127.0.0.1:80 any lan,any ::/0",
        ),
        ("access.hosts", "none door door.example.org,b *.lan 1.2.3.4", "a:80 http://a a..b , -a/b"),
        ("access.hosts", "*.example.org,nas ::1 [::1]", "* *. *.* *a a.* a.*.b *.*.a **.a *lan"),
        (
            "access.embed",
            "none http://a https://a.example:8123,http://[::1]:80",
            "a.example https://a/path ftp://a * https://a,",
        ),
        ("access.tls_certificate", "none /etc/tls/door.pem /x", "tls.crt ./tls.crt None ~/a"),
        ("access.tls_key", "none /etc/tls/door.key", "key 1 file:/x"),
        ("access.hsts", "yes no", "31536000 maybe"),
        ("bell.button", "auto none /dev/input/event0", "Auto event0 /etc/passwd"),
        ("bell.key", "1 256 767 BTN_0 KEY_ENTER", "0 768 1.5 KEY_NONSENSE"),
        ("bell.token_file", "none /etc/doorbelld/ring_token", "ring_token ~/x"),
        ("bell.again", "0 10 3600", "-1 nan 3601"),
        ("visits.before", "0 5 60", "-1 nan 61"),
        ("visits.after", "1 15 3600", "0 inf 3601"),
        ("visits.longest", "1 60 3600", "0.9 nan 3601"),
        ("visits.framerate", "1 10 60", "0.9 nan 61"),
        ("visits.space", "1 1000 10000000", "0 0.5 1GB 10000001"),
        ("visits.days", "0.01 30 36500", "0 nan 36501"),
        ("visits.motion", "yes no", "2 maybe"),
        ("visits.ignore", "none", "0,0,1,1 x , 1"),
        *(
            (
                f"notify.{key}",
                f"none {WEB_URLS}",
                "x ftp://a http:// http://u:p@a http://a:0 http://a#b",
            )
            for key in ("ntfy", "webhook")
        ),
        (
            "notify.address",
            f"none {PAGE_URLS}",
            "x ftp://a http:// http://u:p@a http://a#b http://a?b",
        ),
        ("notify.token_file", "none /etc/doorbelld/ntfy_token", "ntfy_token ~/x"),
        ("notify.key_file", "none /etc/doorbelld/webhook_key", "webhook_key ~/x"),
        (
            "mqtt.broker",
            "none nas nas.lan:1884 10.0.0.7 [fe80::1]:1883 mqtt://nas mqtts://nas:1 mqtts://nas/",
            "http://nas user@nas mqtt://u:p@nas nas:0 nas:65536 mqtt:// fe80::1 nas/x nas:x",
        ),
        ("mqtt.user", "none door Tür a:b@c", "\a"),
        ("mqtt.password_file", "none /etc/doorbelld/mqtt_password", "mqtt_password ~/x"),
        *(
            (f"mqtt.{key}", "none home/door Haus/Tür a", "/a a/ $SYS a/# +/a \a " + "x" * 201)
            for key in ("topic", "discovery", "button_topic")
        ),
        ("mqtt.button_value", 'none single ON {"a":1}', "\a " + "x" * 201),
    ],
)
def test_each_key_takes_what_it_should_and_nothing_else(key: str, good: str, bad: str) -> None:
    for text in good.split():
        config.load(settings=[f"{key}={text}"])
    for text in bad.split():
        (found,) = problems(None, f"{key}={text}")
        assert found.startswith(f"--set {key} = ")
        assert "must be " in found


def test_address_of_the_page_ends_with_a_slash() -> None:
    for text in ("https://door.example", "https://door.example/"):
        address = config.load(settings=[f"notify.address={text}"]).notify.address
        assert address == "https://door.example/"


def test_zones_to_ignore_are_parts_of_the_picture() -> None:
    found = config.load(settings=["visits.ignore=0 0 1 0.2,0.5 .5 .5 .5 , 0 0 1 1"]).visits.ignore
    assert [tuple(zone) for zone in found] == [
        (0, 0, 1, 0.2),
        (0.5, 0.5, 0.5, 0.5),
        (0, 0, 1, 1),
    ]
    for bad in (
        "0 0 1",
        "0 0 1 1 1",
        "0.5 0 0.6 1",
        "0 0 0 1",
        "-1 0 1 1",
        "0 nan 1 1",
        "0 0 1 1,",
    ):
        (problem,) = problems(None, f"visits.ignore={bad}")
        assert "must be none, or LEFT TOP WIDTH HEIGHT, " in problem
    (problem,) = problems(None, f"visits.ignore={','.join(['0 0 1 1'] * 33)}")
    assert "must be " in problem


def test_the_word_none_is_not_in_the_configuration_that_was_read() -> None:
    paths = ("password_file", "embed_key_file", "tls_certificate", "tls_key")
    lists = ("trusted_proxies", "hosts", "embed")
    access = config.load(settings=[f"access.{key}=none" for key in (*paths, *lists)]).access
    assert [getattr(access, key) for key in paths] == [None] * len(paths)
    assert [getattr(access, key) for key in lists] == [()] * len(lists)
    assert config.load(settings=["access.tls_key=/x"]).access.tls_key == Path("/x")
    described = config.describe(Config(access=access))
    assert all(f"\n{key} = none\n" in f"{described}\n" for key in (*paths, *lists))


def test_every_key_is_covered_above() -> None:
    (mark,) = (
        mark
        for mark in test_each_key_takes_what_it_should_and_nothing_else.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
    )
    keys = {f"{name}.{each.name}" for name, cls in SECTIONS.items() for each in fields(cls)}
    assert keys - {row[0] for row in mark.args[1]} == {"camera.vflip", "camera.name"}


def test_the_effective_configuration_reads_back_as_itself(tmp_path: Path) -> None:
    settings = ["camera.name=Tür", "camera.hflip=on", "server.listen=[::1]:80,:5000"]
    found = config.load(settings=settings)
    assert config.load(write(tmp_path / "x.conf", config.describe(found))) == found


def test_a_url_with_a_space_is_refused_without_showing_its_password() -> None:
    (problem,) = problems(None, "camera.source=rtsp://user:se cret@cam/")
    assert "cret" not in problem.replace("camera.source", "")


def test_the_line_is_that_of_an_editor(tmp_path: Path) -> None:
    path = write(tmp_path / "x.conf", "# a form feed: \x0c\n[camera]\nquality = high\n")
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:3: ")


def test_a_password_is_never_shown() -> None:
    found = config.load(settings=["camera.source=rtsp://user:secret@cam/a@b"])
    assert "source = rtsp://cam/...\n" in config.describe(found)
    (problem,) = problems(None, "camera.source=ftp://user:secret@cam/")
    assert "secret" not in problem


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ("mqtt.broker=joe:secret@nas", "password into password_file"),
        ("mqtt.broker=mqtt://joe:secret@nas", "password into password_file"),
        ("mqtt.broker=joe:secret@nas:1883:1883", "password into password_file"),
        ("notify.ntfy=https://joe:secret@ntfy.sh/x", "token for ntfy belongs into token_file"),
        ("notify.ntfy=joe:secret@ntfy.sh/x", "token for ntfy belongs into token_file"),
        ("notify.webhook=http://joe:secret@nas/x", "signed with key_file"),
        ("mqtt.brokers=joe:secret@nas", "did you mean broker?"),
        ("mqtt:broker=joe:secret@nas", "must be SECTION.KEY=VALUE"),
    ],
)
def test_mistake_with_a_password_says_where_it_belongs_and_not_what_it_is(
    setting: str, remedy: str
) -> None:
    (problem,) = problems(None, setting)
    assert remedy in problem
    assert "secret" not in problem


@pytest.mark.parametrize("key", ["ntfy", "webhook"])
@pytest.mark.parametrize("text", ["secret", "ntfy.sh/secret", "https:/ntfy.sh/secret", "/secret"])
def test_mistake_in_a_url_does_not_show_its_secret_path(key: str, text: str) -> None:
    (problem,) = problems(None, f"notify.{key}={text}")
    assert "must be none, or an http:// or https:// URL" in problem
    assert "secret" not in problem


@pytest.mark.parametrize("key", ["broker", "topic", "user", "button_value"])
def test_key_of_the_broker_that_is_left_empty_is_explained(key: str) -> None:
    (problem,) = problems(None, f"mqtt.{key}=")
    assert problem.startswith(f"--set mqtt.{key} = : must be none, ")


def test_broker_has_the_port_of_its_scheme_unless_it_names_one() -> None:
    def broker(text: str) -> str:
        return str(config.load(settings=[f"mqtt.broker={text}"]).mqtt.broker)

    assert broker("nas") == "mqtt://nas:1883"
    assert broker("mqtts://nas") == "mqtts://nas:8883"
    assert broker("[fe80::1]:7") == "mqtt://[fe80::1]:7"


@given(st.text())
def test_whatever_a_file_holds_it_loads_or_is_explained(text: str) -> None:
    with NamedTemporaryFile("w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(text)
        file.flush()
        try:
            config.load(Path(file.name))
        except ConfigError as error:
            found = error.problems
        else:
            return
    assert found
    assert all(problem.startswith(file.name) for problem in found)
