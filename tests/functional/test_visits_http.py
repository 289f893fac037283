"""docs/visits.md over HTTP, with the real daemon and real programs: reading who was there."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import pytest

from doorbelld.visits.visit import Kind
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.kept_visits import KeptVisits, film
from tests.support.numbered_pictures import numbered, read_number
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import cpu_seconds, descriptors, resident
from tests.support.raw import exchange, only_answer, read_answer, refused
from tests.support.secure import SecureDaemon, make_pair
from tests.support.stream_parser import StreamParser
from tests.support.viewer_group import lossless_viewers

PICTURES = film(30)
CONTENT = b"".join(PICTURES)
SIZE = len(CONTENT)
STILL = numbered(99)
LARGE = film(256, kilobytes=60)
"""16 MB: more than the kernel takes for a client that does not read."""

FOR_EVER = "private, max-age=31536000, immutable"
READERS = 50


class House(NamedTuple):
    """A daemon with three visits: a ``ring`` with all, ``motion`` with nothing, a ``long`` film."""

    daemon: Daemon
    ring: int
    motion: int
    long: int

    def get(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.daemon.request(path, method, sent)

    def json(self, path: str) -> Any:
        answer, body = self.get(path)
        assert (answer.status, answer.getheader("Cache-Control")) == (200, "no-store")
        return json.loads(body)


def furnished(folder: Path, daemon: Daemon, **settings: object) -> House:
    kept = KeptVisits(folder / "state")
    ring = kept.add(PICTURES, still=STILL)
    motion = kept.add([], Kind.MOTION)
    long = kept.add(LARGE)
    daemon.start({**kept.settings(), **settings}, environ=kept.environ, arguments=["-v"])
    house = House(daemon, ring, motion, long)
    eventually(lambda: house.json("/visits.json")["count"] == 3, "the visits are read")
    return house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with Daemon(folder) as daemon:
        yield furnished(folder, daemon, **{"camera.resolution": "160x120"})


def open_films(daemon: Daemon) -> list[str]:
    return [each for each in descriptors(daemon.pid) if "/visits/" in each and ".mjpeg" in each]


# Lists


def test_list_says_whether_there_is_anything_of_motion(daemon: Daemon, tmp_path: Path) -> None:
    kept = KeptVisits(tmp_path / "state")
    kept.add(PICTURES, still=STILL)
    motion = kept.add([], Kind.MOTION)
    daemon.start(kept.settings(), environ=kept.environ)

    def says() -> bool:
        return bool(json.loads(daemon.request("/visits.json?limit=1&kind=ring")[1])["motion"])

    eventually(says, "the visit of motion is read")
    assert daemon.request(f"/visits/{motion}/delete", method="POST")[0].status == 204
    assert not says()
    daemon.stop()
    daemon.start({**kept.settings(), "visits.ignore": "0 0 1 0.2"}, environ=kept.environ)
    eventually(lambda: daemon.log().count(": open http") == 2, "it listens again")
    assert says()


def test_newest_visits_come_first(house: House) -> None:
    found = house.json("/visits.json")
    assert [each["id"] for each in found["visits"]] == [house.long, house.motion, house.ring]
    assert found["next"] is None
    assert found["count"] == 3
    assert found["bytes"] == SIZE + len(STILL) + sum(map(len, LARGE))
    assert (found["space"], found["days"]) == (1_000_000_000, 30)
    ring = found["visits"][2]
    assert (ring["kind"], ring["source"], ring["state"]) == ("ring", "button", "done")
    assert (ring["presses"], ring["reason"], ring["answered"]) == (1, "", None)
    assert (ring["frames"], ring["seconds"], ring["before"]) == (30, 2.9, 2.0)
    assert ring["still"] == f"visits/{house.ring}.jpg?v=1"
    assert ring["bytes"] == SIZE + len(STILL)
    assert time.time() - GUARD < ring["at"] == ring["pressed_at"] < time.time() + 1
    assert ring["until"] == pytest.approx(ring["at"] + 3, abs=0.01)
    motion = found["visits"][1]
    assert (motion["kind"], motion["still"], motion["frames"]) == ("motion", None, 0)


def test_list_is_read_page_by_page(house: House) -> None:
    seen, query = [], "?limit=1"
    for _ in range(3):
        found = house.json(f"/visits.json{query}")
        (visit,) = found["visits"]
        seen.append(visit["id"])
        query = f"?limit=1&before={found['next']}"
    assert seen == [house.long, house.motion, house.ring]
    assert found["next"] is None
    assert house.json(f"/visits.json?before={house.ring}")["visits"] == []


def test_list_of_one_kind(house: House) -> None:
    for kind, ids in (("ring", [house.long, house.ring]), ("motion", [house.motion])):
        found = house.json(f"/visits.json?kind={kind}&limit=200")["visits"]
        assert [each["id"] for each in found] == ids


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=1000000", "limit=-1", "limit=1e2", "limit=", "limit=+5"),
        *("limit=%D9%A3", "limit=5.0", "limit=0x5", "limit=" + "9" * 4000, "limit=nan"),
        *("before=0", "before=-3", "before=x", "before=" + "9" * 30, "before=1_0", "before=%B2"),
        *("kind=", "kind=RING", "kind=all", "kind=ring%00"),
    ],
)
def test_400_for_what_the_list_cannot_do(house: House, query: str) -> None:
    answer, body = house.get(f"/visits.json?{query}")
    assert answer.status == 400
    assert re.match(rb"(limit|before) must be a whole number from 1 to |kind must be ring or", body)


# One visit


def test_one_visit_with_the_moments_of_its_pictures(house: House) -> None:
    found = house.json(f"/visits/{house.ring}.json")
    listed = house.json("/visits.json")["visits"][2]
    assert found.pop("frames") == [round(-2 + each / 10, 3) for each in range(30)]
    assert listed.pop("frames") == 30
    assert found == listed
    assert house.json(f"/visits/{house.motion}.json")["frames"] == []


def test_still_may_be_kept_if_its_version_is_named(house: House) -> None:
    for query, caching in (("?v=1", FOR_EVER), ("", "no-store"), ("?v=2", "no-store")):
        answer, body = house.get(f"/visits/{house.ring}.jpg{query}")
        assert (answer.status, body) == (200, STILL)
        assert answer.getheader("Content-Type") == "image/jpeg"
        assert answer.getheader("Cache-Control") == caching


def test_each_picture_of_the_film(house: House) -> None:
    for number in (0, 7, 29):
        answer, body = house.get(f"/visits/{house.ring}/{number}.jpg")
        assert (answer.status, body) == (200, PICTURES[number])
        assert answer.getheader("Content-Type") == "image/jpeg"
        assert answer.getheader("Cache-Control") == FOR_EVER


@pytest.mark.parametrize("what", [".jpg", ".jpg?v=0", "/0.jpg", ".mjpeg", "/video"])
def test_404_for_what_a_visit_does_not_have(house: House, what: str) -> None:
    answer, body = house.get(f"/visits/{house.motion}{what}")
    assert answer.status == 404
    assert b"picture" in body or b"film" in body


@pytest.mark.parametrize(
    "id_",
    [
        *("0", "-1", "+1", "01", "1.0", "1e0", "0x1", "99", "9" * 18, "9" * 19, "9" * 5000, "1%20"),
        *("%D9%A1", "\xb9", "%EF%BC%91", "1%00", "%2e", "%2e%2e", "..", "%2e%2e/%2e%2e/etc/passwd"),
        *("..%2f1", "1/../1", "//1", "1;x", "*", "a", "", "index", "1%0a", "_1", "1_0"),
    ],
)
def test_404_for_an_id_that_is_none(house: House, id_: str) -> None:
    for what in (".json", ".jpg", "/0.jpg", ".mjpeg", "/video"):
        request = f"GET /visits/{id_}{what} HTTP/1.1\r\nConnection: close\r\n\r\n"
        answer = only_answer(exchange(house.daemon, request.encode("latin-1")))
        assert answer.status == 404 or (answer.status, id_) == (400, "\xb9")
    for what in ("/answered", "/delete"):
        request = f"POST /visits/{id_}{what} HTTP/1.1\r\nConnection: close\r\n\r\n"
        answer = only_answer(exchange(house.daemon, request.encode("latin-1")))
        assert answer.status in (404, 400 if id_ == "\xb9" else 404) or id_ == ""
    assert house.json("/visits.json")["count"] == 3


@pytest.mark.parametrize("number", ["30", "-1", "00", "1e1", "9" * 9, "9" * 10, "x", "%B2", "1/0"])
def test_404_for_a_picture_that_is_none(house: House, number: str) -> None:
    assert house.get(f"/visits/{house.ring}/{number}.jpg")[0].status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/visits.json", "GET, HEAD"),
        ("POST", "/visits/1.mjpeg", "GET, HEAD"),
        ("DELETE", "/visits/1.json", "GET, HEAD"),
        ("GET", "/visits/1/answered", "POST"),
        ("GET", "/visits/1/delete", "POST"),
        ("GET", "/visits/delete", "POST"),
        ("GET", "/shutter", "POST"),
        ("HEAD", "/ring", "GET, POST"),
        ("PUT", "/ring", "GET, POST"),
    ],
)
def test_405_for_another_method(house: House, method: str, path: str, allowed: str) -> None:
    answer, _ = house.get(path, method)
    assert (answer.status, answer.getheader("Allow")) == (405, allowed)


# Films


def test_film_is_its_pictures_one_after_the_other(house: House) -> None:
    answer, body = house.get(f"/visits/{house.ring}.mjpeg")
    assert (answer.status, body) == (200, CONTENT)
    assert answer.getheader("Content-Type") == "video/x-motion-jpeg"
    assert answer.getheader("Content-Length") == str(SIZE)
    assert answer.getheader("Accept-Ranges") == "bytes"
    assert answer.getheader("Cache-Control") == "no-store"
    at = house.json(f"/visits/{house.ring}.json")["at"]
    name = time.strftime("Front door %Y-%m-%d %H.%M.%S.mjpeg", time.localtime(at))
    disposition = answer.getheader("Content-Disposition") or ""
    assert disposition.startswith(f'attachment; filename="{name}"; ')


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("BYTES=5-", 5, SIZE - 1),
        ("bytes=5-999999999", 5, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-999999999", 0, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
    ],
)
def test_range_of_the_film(house: House, asked: str, first: int, last: int) -> None:
    answer, body = house.get(f"/visits/{house.ring}.mjpeg", Range=asked)
    assert (answer.status, body) == (206, CONTENT[first : last + 1])
    assert answer.getheader("Content-Range") == f"bytes {first}-{last}/{SIZE}"


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", f"bytes={SIZE}-{SIZE + 5}"])
def test_416_for_a_range_outside(house: House, asked: str) -> None:
    answer, _ = house.get(f"/visits/{house.ring}.mjpeg", Range=asked)
    assert (answer.status, answer.getheader("Content-Range")) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=0-1,3-4", "bytes=9-1", "bytes=-", "bytes=a-b", "lines=0-1", "bytes 0-1", ""),
        *("bytes=0-1, ", "bytes=" + "9" * 20 + "-", "bytes=\xb2-", "bytes=" + "0-0," * 3000),
    ],
)
def test_other_ranges_are_ignored(house: House, asked: str) -> None:
    answer, body = house.get(f"/visits/{house.ring}.mjpeg", Range=asked)
    assert (answer.status, body) == (200, CONTENT)


def test_range_with_a_condition_is_ignored(house: House) -> None:
    answer, body = house.get(f"/visits/{house.ring}.mjpeg", Range="bytes=0-9", If_Range='"x"')
    assert (answer.status, body) == (200, CONTENT)


def test_film_as_multipart(house: House) -> None:
    visit = house.json(f"/visits/{house.ring}.json")
    answer, body = house.get(f"/visits/{house.ring}/video")
    assert answer.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=frame"
    assert body.endswith(b"\r\n--frame--\r\n")
    parser = StreamParser()
    parts = parser.feed(body[: -len(b"--\r\n")] + b"\r\n")
    assert [part.body for part in parts] == PICTURES
    assert parser.between_parts
    for part, moment in zip(parts, visit["frames"]):
        assert float(part.timestamp) == pytest.approx(visit["at"] + moment, abs=0.002)


def test_head_says_the_same_and_sends_nothing(house: House) -> None:
    for what in (".json", ".jpg?v=1", "/3.jpg", ".mjpeg", "/video"):
        path = f"/visits/{house.ring}{what}"
        (head, nothing), (answer, body) = house.get(path, "HEAD"), house.get(path)
        assert (head.status, nothing) == (200, b"")
        assert head.getheader("Content-Length") == str(len(body))
        assert {name for name, _ in head.getheaders()} == {n for n, _ in answer.getheaders()}
    part, _ = house.get(f"/visits/{house.ring}.mjpeg", "HEAD", Range="bytes=0-9")
    assert (part.status, part.getheader("Content-Length")) == (206, "10")
    assert not open_films(house.daemon)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=GUARD)
    return done.stdout


@pytest.mark.parametrize("what", [".mjpeg", "/video"])
def test_ffmpeg_and_opencv_read_every_picture(house: House, what: str) -> None:
    url = f"http://127.0.0.1:{house.daemon.port}/visits/{house.ring}{what}"
    shown = ["-show_entries", "stream=codec_name,nb_read_frames", "-of", "csv=p=0"]
    assert run("ffprobe", "-v", "error", "-count_frames", *shown, url) == "mjpeg,30\n"
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    numbers = []
    while True:
        is_there, picture = capture.read()
        if not is_there:
            break
        numbers.append(read_number(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)))
    capture.release()
    assert numbers == list(range(30))


def test_curl_saves_it_under_its_name_and_goes_on_where_it_stopped(
    house: House, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{house.daemon.port}/visits/{house.long}.mjpeg"
    curl = ["curl", "--silent", "--show-error", "--fail", "--output-dir", str(tmp_path)]
    run(*curl, "--remote-name", "--remote-header-name", url)
    (saved,) = tmp_path.iterdir()
    assert re.fullmatch(r"Front door \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.mjpeg", saved.name)
    assert saved.read_bytes() == b"".join(LARGE)
    saved.write_bytes(b"".join(LARGE)[:1_000_000])
    run(*curl, "--continue-at", "-", "--output", saved.name, url)
    assert saved.read_bytes() == b"".join(LARGE)


def test_film_over_tls(tmp_path: Path) -> None:
    with SecureDaemon(tmp_path, make_pair(tmp_path)) as daemon:
        house = furnished(tmp_path, daemon)
        assert house.get(f"/visits/{house.long}.mjpeg")[1] == b"".join(LARGE)
        answer, body = house.get(f"/visits/{house.long}.mjpeg", Range="bytes=9000000-")
        assert (answer.status, body) == (206, b"".join(LARGE)[9_000_000:])
        with ExitStack() as stack:  # One that reads slowly, while others read.
            slow = stack.enter_context(daemon.connect(buffer=65_536))
            slow.sendall(b"GET /visits/3.mjpeg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert house.get(f"/visits/{house.ring}/video")[0].status == 200
            digest = hashlib.sha256(read_answer(slow).body)
        assert digest.digest() == hashlib.sha256(b"".join(LARGE)).digest()


def test_fifty_slow_readers_cost_viewers_nothing(
    daemon: Daemon, pipe_camera: PipeCamera, tmp_path: Path
) -> None:
    house = furnished(
        tmp_path, daemon, **{"camera.source": pipe_camera.source, "camera.stall_timeout": 3600}
    )
    pipe_camera.show(numbered(0))
    daemon.wait_for_state("streaming")
    before = resident(daemon.pid)
    with lossless_viewers(daemon, pipe_camera, 20) as viewers, ExitStack() as stack:
        readers = [stack.enter_context(daemon.connect(buffer=4096)) for _ in range(READERS)]
        for number, reader in enumerate(readers):
            what = (".mjpeg", "/video")[number % 2]
            reader.sendall(f"GET /visits/{house.long}{what} HTTP/1.1\r\n\r\n".encode())
        for _ in range(30):
            for reader in readers:
                reader.recv(20_000)
            viewers.show_next()
        assert house.get("/status")[0].status == 200
        assert len(open_films(daemon)) == READERS
        assert resident(daemon.pid) - before < 12_000_000
    eventually(lambda: not open_films(daemon), "the films are closed")


def test_no_more_than_a_hundred_films_at_a_time(house: House) -> None:
    with ExitStack() as stack:
        readers = [stack.enter_context(house.daemon.connect(buffer=4096)) for _ in range(100)]
        for reader in readers:
            reader.sendall(f"GET /visits/{house.long}.mjpeg HTTP/1.1\r\n\r\n".encode())
            assert reader.recv(15) == b"HTTP/1.1 200 OK"
        answer, body = house.get(f"/visits/{house.long}.mjpeg")
        assert (answer.status, answer.getheader("Retry-After")) == (503, "5")
        assert body.startswith(b"100 films are being sent already")
    eventually(lambda: house.get(f"/visits/{house.ring}.mjpeg")[0].status == 200, "a place")


# Changes


@pytest.fixture
def own(daemon: Daemon, tmp_path: Path) -> House:
    return furnished(tmp_path, daemon)


def test_first_answer_counts(own: House) -> None:
    answer, body = own.get(f"/visits/{own.ring}/answered", "POST")
    assert answer.status == 200
    answered = json.loads(body)["answered"]
    assert time.time() - GUARD < answered < time.time() + 1
    again = json.loads(own.get(f"/visits/{own.ring}/answered", "POST")[1])
    assert again == {"answered": pytest.approx(answered, abs=0.002)}
    assert own.json(f"/visits/{own.ring}.json")["answered"] == pytest.approx(answered, abs=0.002)


def test_film_that_is_deleted_in_the_middle_is_read_to_its_end(own: House) -> None:
    with own.daemon.connect(buffer=4096) as reader:
        reader.sendall(f"GET /visits/{own.long}.mjpeg HTTP/1.1\r\n\r\n".encode())
        assert reader.recv(15) == b"HTTP/1.1 200 OK"
        answer, body = own.get(f"/visits/{own.long}/delete", "POST")
        assert (answer.status, body) == (204, b"")
        for what in (".json", ".jpg", "/0.jpg", ".mjpeg", "/video"):
            assert own.get(f"/visits/{own.long}{what}")[0].status == 404
        assert own.get(f"/visits/{own.long}/delete", "POST")[0].status == 404
        assert own.get(f"/visits/{own.long}/answered", "POST")[0].status == 404
        rest = bytearray()
        while len(rest) < sum(map(len, LARGE)):
            some = reader.recv(1 << 20)
            assert some
            rest += some
        assert rest.endswith(b"".join(LARGE))
    assert own.json("/visits.json")["count"] == 2


def test_all_are_deleted(own: House) -> None:
    assert own.get("/visits/delete", "POST")[0].status == 204
    found = own.json("/visits.json")
    assert (found["visits"], found["count"], found["bytes"]) == ([], 0, 0)
    assert own.get("/visits/delete", "POST")[0].status == 204, "again"


@pytest.mark.parametrize("what", ["1/answered", "1/delete", "delete"])
def test_no_other_site_changes_anything(house: House, what: str) -> None:
    form = {"Referer": "http://evil.example/", "Accept": "text/html"}  # of an old Firefox
    unnamed = [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site")]
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, form, *unnamed):
        assert house.get(f"/visits/{what}", "POST", **headers)[0].status == 403
    found = house.json("/visits.json")
    assert (found["count"], found["visits"][2]["answered"]) == (3, None)


def test_400_for_a_post_with_a_body(house: House) -> None:
    for path in ("/visits/1/answered", "/visits/1/delete", "/visits/delete", "/shutter?closed=yes"):
        request = f"POST {path} HTTP/1.1\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
        refused(only_answer(exchange(house.daemon, request.encode())), 400)
    assert house.json("/visits.json")["count"] == 3


def test_film_of_a_visit_that_goes_on_is_read_as_far_as_it_is(
    daemon: Daemon, tmp_path: Path
) -> None:
    kept = KeptVisits(tmp_path / "state")
    daemon.start({**kept.settings(), "camera.resolution": "160x120"}, environ=kept.environ)
    daemon.wait_for_state("streaming")
    answer, body = daemon.request(f"/ring?token={kept.token}", "POST")
    assert answer.status == 200
    number = json.loads(body)["visit"]
    sizes = set()

    def read() -> bool:
        answer, body = daemon.request(f"/visits/{number}.mjpeg")
        if answer.status == 200:
            assert (body[:2], body[-2:]) == (b"\xff\xd8", b"\xff\xd9")
            sizes.add(len(body))
        return len(sizes) >= 3

    eventually(read, "it grows")
    visit = json.loads(daemon.request(f"/visits/{number}.json")[1])
    assert (visit["state"], visit["until"], visit["source"]) == ("open", None, "http")
    assert visit["still"]
    still = daemon.request(f"/{visit['still']}")[1]
    assert still.startswith(b"\xff\xd8")


def test_ten_thousand_visits_are_listed_at_once(daemon: Daemon, tmp_path: Path) -> None:
    kept = KeptVisits(tmp_path / "state")
    kept.add_many(10_000)
    daemon.start(kept.settings(), environ=kept.environ)
    path = "/visits.json"

    def is_read() -> bool:
        return bool(json.loads(daemon.request(path)[1])["count"] == 10_000)

    eventually(is_read, "the visits are read")
    before = cpu_seconds(daemon.pid)
    for _ in range(100):
        found = json.loads(daemon.request(path)[1])
    assert [each["id"] for each in found["visits"]] == list(range(10_000, 9_950, -1))
    assert cpu_seconds(daemon.pid) - before < 100 * 0.010  # 2 ms on a PC
