"""Which clients are let in: by address, by host name, and by the page that sends them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, eventually
from tests.support.paths import ENDLESS, EVERY_PATH
from tests.support.raw import assert_strict, exchange, only_answer, read_to_end
from tests.support.secure import make_pair
from tests.support.service_manager import ServiceManager
from tests.support.stream import Stream
from tests.support.viewer_group import ViewerGroup

STRANGER = "8.8.8.8"
LOCAL = "192.168.1.2"
DASHBOARD = "http://dashboard.example:8123"
ANYWHERE = {"Accept": "text/html,image/png,*/*"}
"""The headers of a browser that follows a link."""


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return a daemon behind a proxy at 127.0.0.1, so that a request may come from anywhere."""
    with Daemon(tmp_path_factory.mktemp("proxied")) as found:
        settings = {
            "camera.resolution": "160x120",
            "access.trusted_proxies": "127.0.0.1",
            "access.hosts": "door.example.org",
            "access.embed": DASHBOARD,
        }
        found.start(settings)
        eventually(lambda: ask(found, "/healthz")[0].status == 200, "a picture")
        yield found


def ask(
    daemon: Daemon, path: str = "/status", method: str = "GET", **headers: str
) -> tuple[HTTPResponse, bytes]:
    """Send a request with headers, written with _ for their hyphens; a stream is not read.

    Behind a proxy the client is one of the LAN, unless another is given.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if "access.trusted_proxies" in daemon.settings:
        named = {"X-Forwarded-For": LOCAL, **named}
    if path in ENDLESS:
        method = "HEAD"
    return daemon.request(path, method, named)


@pytest.mark.parametrize("path", [*EVERY_PATH, "/nothing", "/app.js"])
def test_stranger_gets_403_whatever_it_asks_for(proxied: Daemon, path: str) -> None:
    answer, body = ask(proxied, path, X_Forwarded_For=STRANGER)
    assert answer.status == 403
    assert answer.getheader("Connection") == "close"
    assert body in (b"", b"this address is not in the networks let in\n")
    assert ask(proxied, path, X_Forwarded_For="192.168.1.2")[0].status != 403


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "X"])
def test_stranger_gets_403_however_it_asks(proxied: Daemon, method: str) -> None:
    assert ask(proxied, "/", method, X_Forwarded_For=STRANGER)[0].status == 403


@pytest.mark.parametrize(("forwarded", "status"), [(STRANGER, 403), ("nonsense", 400)])
def test_body_of_a_stranger_is_not_waited_for(proxied: Daemon, forwarded: str, status: int) -> None:
    head = (
        "POST /login HTTP/1.1\r\nHost: localhost\r\n"
        f"X-Forwarded-For: {forwarded}\r\nContent-Length: 9\r\n\r\n"
    )
    assert only_answer(exchange(proxied, head.encode())).status == status


def test_nothing_is_read_of_a_stranger_but_the_head(daemon: Daemon) -> None:
    daemon.start({"access.networks": "192.0.2.0/24", "server.header_timeout": 3600})
    with daemon.connect() as sock:  # It never sends the form that it announces.
        sock.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        assert only_answer(read_to_end(sock)).status == 403


def test_only_a_trusted_proxy_is_believed(doorbell: Daemon, proxied: Daemon) -> None:
    assert ask(doorbell, X_Forwarded_For=LOCAL)[0].status == 403
    assert ask(proxied, X_Forwarded_For=f"192.168.1.2, {STRANGER}")[0].status == 403
    assert ask(proxied, X_Forwarded_For=f"{STRANGER}, 192.168.1.2")[0].status == 200
    answer, body = ask(proxied, X_Forwarded_For="nonsense")
    why = b"X-Forwarded-For or Forwarded cannot be understood\n"
    assert (answer.status, body) == (400, why)


@pytest.mark.parametrize("path", [*EVERY_PATH, "/nothing", "/app.js"])
def test_403_for_what_came_through_a_proxy_that_is_not_trusted(doorbell: Daemon, path: str) -> None:
    for headers in ({"Forwarded": "for=192.168.1.2"}, {"Via": "1.1 x"}, {"CF_Ray": ""}):
        answer, body = ask(doorbell, path, Host="localhost", **headers)
        assert answer.status == 403
        name = next(iter(headers)).replace("_", "-")
        reason = f"this came through a proxy, as the header {name} shows, and 127.0.0.1 is not in"
        how = "trusted_proxies; to allow it, set [access] trusted_proxies = 127.0.0.1"
        assert body in (b"", f"{reason} {how}\n".encode())


def test_refusal_also_names_the_proxys_host_name(doorbell: Daemon) -> None:
    _, body = ask(doorbell, Host="door.example.org", Via="1.1 x")
    settings = "[access] trusted_proxies = 127.0.0.1 and [access] hosts = door.example.org\n"
    assert body.decode().endswith(settings)


def test_body_from_a_proxy_that_is_not_trusted_is_not_waited_for(doorbell: Daemon) -> None:
    head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nVia: 1.1 x\r\n\r\n"
    assert only_answer(exchange(doorbell, head.encode())).status == 403
    head = "POST /login HTTP/1.0\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"
    assert only_answer(exchange(doorbell, head.encode())).status == 403


def test_body_from_a_proxy_that_names_no_client_is_not_waited_for(proxied: Daemon) -> None:
    head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    answer = only_answer(exchange(proxied, head.encode()))
    assert answer.status == 403
    expected = (
        b"the trusted proxy 127.0.0.1 does not name its client: make it send X-Forwarded-For\n"
    )
    assert answer.body == expected


def test_body_of_a_client_that_a_trusted_proxy_names_is_waited_for(proxied: Daemon) -> None:
    with proxied.connect() as sock:
        sock.sendall(
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nForwarded: for=192.168.1.2\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n"
            b"Connection: close\r\nContent-Length: 10\r\n\r\n"
        )
        sock.sendall(b"password=x")
        assert only_answer(read_to_end(sock)).status == 303


@pytest.mark.parametrize(
    ("forwarded", "rfc7239", "status"),
    [
        ("192.168.1.2", "for=192.168.1.2", 200),
        ("10.9.9.9, 192.168.1.2", 'for="192.168.1.2:4711"', 200),
        ("192.168.1.2", "for=192.168.1.3", 400),
        ("192.168.1.2", f"for={STRANGER}", 400),
        (STRANGER, "for=192.168.1.2", 400),
        ("192.168.1.2", "for=unknown", 400),
        ("192.168.1.2", "for=_hidden", 400),
        ("192.168.1.2", "proto=https", 200),
        ("127.0.0.1", "for=127.0.0.1", 200),
    ],
)
def test_two_headers_must_name_the_same_client(
    proxied: Daemon, forwarded: str, rfc7239: str, status: int
) -> None:
    answer, _ = ask(proxied, X_Forwarded_For=forwarded, Forwarded=rfc7239)
    assert answer.status == status


PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 192.168.1.2 127.0.0.1 4711 5000\r\n",
        b"PROXY TCP6 fd00::1 ::1 4711 5000\r\n",
        b"PROXY UNKNOWN\r\n",
        PROXY_2,
    ],
)
def test_400_for_the_proxy_protocol(doorbell: Daemon, proxied: Daemon, line: bytes) -> None:
    for daemon in (doorbell, proxied):
        request = line + b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answer = only_answer(exchange(daemon, request))
        assert answer.status == 400
        assert answer.body.startswith(b"doorbelld does not speak the PROXY protocol: turn it off")


def test_log_names_the_stranger_behind_the_proxy(daemon: Daemon) -> None:
    daemon.start({"access.trusted_proxies": "127.0.0.1"})
    assert ask(daemon, X_Forwarded_For=STRANGER)[0].status == 403
    assert f"{STRANGER}: refused: this address is not in the networks let in" in daemon.log()


def test_status_names_the_viewer_behind_the_proxy(proxied: Daemon) -> None:
    with proxied.connect() as sock:
        sock.sendall(
            b"GET /video_feed?key=there HTTP/1.1\r\nHost: localhost\r\n"
            b"X-Forwarded-For: 192.168.1.77\r\n\r\n"
        )
        rows = eventually(
            lambda: json.loads(ask(proxied, "/status?key=there")[1])["viewers"], "watching"
        )
        assert [row["address"] for row in rows] == ["192.168.1.77"]


def test_networks_are_what_was_configured(daemon: Daemon) -> None:
    daemon.start({"access.networks": "192.0.2.0/24, 127.0.0.2"})
    with daemon.connect(source="127.0.0.2") as sock:
        sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 ")
    answer, _ = daemon.request("/healthz")
    assert answer.status == 403
    assert "127.0.0.1: refused: this address is not in the networks let in" in daemon.log()


def test_reload_lets_others_in(daemon: Daemon, tmp_path: Path) -> None:
    config = tmp_path / "doorbelld.conf"
    config.write_text("[access]\nnetworks = 192.0.2.0/24\n")
    daemon.start(arguments=["--config", str(config)])
    assert daemon.request("/")[0].status == 403
    config.write_text("[access]\nnetworks = lan\n")
    daemon.send(signal.SIGHUP)
    daemon.wait_for_log("the configuration was read again")
    assert daemon.request("/")[0].status == 200


def test_reload_ends_the_streams_of_clients_that_are_no_longer_allowed(
    daemon: Daemon, tmp_path: Path
) -> None:
    config = tmp_path / "doorbelld.conf"
    config.write_text("")
    daemon.start({"camera.resolution": "160x120"}, arguments=["--config", str(config)])
    with ViewerGroup(daemon) as group:
        (stays,) = group.join(source="127.0.0.1")
        (goes,) = group.join(source="127.0.0.2")
        daemon.wait_for_viewers(2)
        config.write_text("[access]\nnetworks = 127.0.0.1\n")
        daemon.send(signal.SIGHUP)
        group.wait(lambda: goes.ended, "the stream ends")
        daemon.wait_for_log("127.0.0.2: is not let in any more")
        seen = len(stays.parts)
        group.wait(lambda: len(stays.parts) > seen + 5, "the other goes on")


def test_restart_ends_the_streams_of_clients_that_are_no_longer_allowed(
    daemon: Daemon, manager: ServiceManager
) -> None:
    settings = {"camera.resolution": "160x120"}
    manager.start(daemon, settings)
    with ViewerGroup(daemon) as group:
        (stays,) = group.join(source="127.0.0.1")
        (goes,) = group.join(source="127.0.0.2")
        daemon.wait_for_viewers(2)
        manager.restart(daemon, {**settings, "access.networks": "127.0.0.1"})
        group.wait(lambda: goes.ended, "the stream ends")
        seen = len(stays.parts)
        group.wait(lambda: len(stays.parts) > seen + 5, "the other goes on")


def test_restart_ends_the_streams_in_plain_text_once_there_is_a_certificate(
    daemon: Daemon, manager: ServiceManager
) -> None:
    pair = make_pair(daemon.folder)
    manager.start(daemon, {"camera.resolution": "160x120"})
    with Stream(daemon) as stream:
        stream.part()
        manager.restart(daemon, {"camera.resolution": "160x120", **pair.settings()})
        read_to_end(stream.socket)
    daemon.wait_for_log("is not let in any more")


def test_refused_clients_do_not_fill_the_log(daemon: Daemon) -> None:
    daemon.start({"access.networks": "192.0.2.0/24"})
    for _ in range(50):
        assert daemon.request("/")[0].status == 403
    assert daemon.log().count("refused") == 1


def curl(pid: int, *arguments: str) -> str:
    """Return the status that curl gets in the network of the process ``pid``."""
    inside = ["nsenter", "--target", str(pid), "--user", "--net", "--preserve-credentials"]
    command = [*inside, "curl", "-s", "-g", "-o", "/dev/null", "-w", "%{http_code}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def within_network(*addresses: str) -> list[str]:
    """Return a prefix that runs a command with these addresses and no others."""
    setup = "ip link set lo up"
    setup += "".join(f" && ip address add {each} dev lo nodad" for each in addresses)
    shell = ["sh", "-c", f'{setup} && exec "$@"', "sh"]
    return ["unshare", "--user", "--map-root-user", "--net", *shell]


def test_lan_with_public_addresses_is_a_lan(daemon: Daemon) -> None:
    # A network as wide as 2002:: here is no LAN.
    inside = within_network("2001:db8:5::1/64", "2002:db8::1/16")
    daemon.start({"server.listen": ":5000"}, prefix=inside)
    url = "http://[2001:db8:5::1]:5000/"
    assert curl(daemon.pid, "--interface", "2001:db8:5::1", url) == "200"
    assert curl(daemon.pid, "--interface", "2002:db8::1", url) == "403"


@pytest.mark.parametrize("address", ["::ffff:0:808:808", "::ffff:1:2:3:4"])
def test_address_that_only_looks_like_a_mapped_one_is_refused(daemon: Daemon, address: str) -> None:
    inside = within_network("2001:db8:5::1/64", f"{address}/128")
    lan = {"access.networks": "2001:db8:5::/64"}
    daemon.start({"server.listen": ":5000", **lan}, prefix=inside)
    url = "http://[2001:db8:5::1]:5000/login"
    form = ["--interface", address, "--data", "password=x", url]
    assert curl(daemon.pid, *form) == "403"
    assert curl(daemon.pid, "--interface", "2001:db8:5::1", url) == "303"


# The name


@pytest.mark.parametrize("host", ["localhost", "door.local:5000", "127.0.0.1", "[::1]:5000"])
def test_answers_to_its_own_names(doorbell: Daemon, host: str) -> None:
    assert ask(doorbell, Host=host)[0].status == 200


def test_answers_to_a_configured_name(doorbell: Daemon, proxied: Daemon) -> None:
    assert ask(proxied, Host="door.example.org")[0].status == 200
    assert ask(doorbell, Host="door.example.org")[0].status == 421


@pytest.mark.parametrize("path", [*EVERY_PATH, "/nothing", "/app.js"])
def test_421_for_a_name_that_was_pointed_here(doorbell: Daemon, path: str) -> None:
    host = f"rebound.example:{doorbell.port}"
    answer, body = ask(doorbell, path, Host=host)
    assert answer.status == 421
    reason = f"'{host}' is not a name that doorbelld answers to; to allow it, set"
    assert body in (b"", f"{reason} [access] hosts = rebound.example\n".encode())


def test_browser_gets_a_page_that_says_which_name_and_what_to_set(daemon: Daemon) -> None:
    daemon.start()
    browser = {"Accept": "text/html,*/*"}
    answer, body = ask(daemon, "/", Host="Door.Fritz.box:5000", **browser)
    page = body.decode()
    assert answer.status == 421
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert_strict(answer.headers)
    assert "&#x27;Door.Fritz.box:5000&#x27; is not a name that doorbelld answers to." in page
    assert "<pre>[access]\nhosts = door.fritz.box</pre>" in page
    said = "'Door.Fritz.box:5000' is not a name that doorbelld answers to; to allow it, set"
    assert f"127.0.0.1: refused: {said} [access] hosts = door.fritz.box\n" in daemon.log()


def test_line_that_the_refusal_suggests_is_enough(daemon: Daemon, tmp_path: Path) -> None:
    config = tmp_path / "doorbelld.conf"
    config.write_text("")
    daemon.start({"server.listen": ":0"}, arguments=["--config", str(config)])
    _, body = ask(daemon, Host="door.example.org")
    line = body.decode().partition("[access] ")[2]
    assert line == "hosts = door.example.org\n"
    config.write_text(f"[access]\n{line}trusted_proxies = 127.0.0.1\n")
    daemon.send(signal.SIGHUP)
    daemon.wait_for_log("the configuration was read again")
    answer, _ = ask(daemon, Host="door.example.org", X_Forwarded_For=LOCAL)
    assert answer.status == 200
    _, body = ask(daemon, Host="other.example.org", X_Forwarded_For=LOCAL)
    assert body.endswith(b"[access] hosts = ..., other.example.org\n")
    browser = {"Accept": "text/html", "X_Forwarded_For": LOCAL}
    _, body = ask(daemon, Host="other.example.org", **browser)
    assert b"add this to what is set there (the dots) and reload" in body


@pytest.mark.parametrize(
    "host", ["<script>.example", "a b.example", "x" * 5000 + ".example", "\xe4.b"]
)
def test_host_name_in_the_refusal_does_no_harm(daemon: Daemon, host: str) -> None:
    daemon.start()
    head = f"GET / HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n".encode("latin-1")
    answer = only_answer(exchange(daemon, head))
    assert answer.status == 421
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(answer.body) < 1000
    assert all(len(line) < 300 and line.isascii() for line in daemon.log().splitlines())


def test_new_host_name_counts_at_once(daemon: Daemon) -> None:
    renamed = [
        "unshare",
        "--map-root-user",
        "--uts",
        "sh",
        "-c",
        'hostname old.test && exec "$@"',
        "sh",
    ]
    daemon.start(prefix=renamed)
    assert ask(daemon, Host="old.test")[0].status == 200
    assert ask(daemon, Host="new.test")[0].status == 421
    enter = ["nsenter", f"--target={daemon.pid}", "--user", "--uts", "--preserve-credentials"]
    subprocess.run([*enter, "hostname", "new.test"], check=True)
    assert ask(daemon, Host="new.test")[0].status == 200
    assert ask(daemon, Host="old.test")[0].status == 421


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /status HTTP/1.1\r\n\r\n", 200),  # every browser sends a Host
        (b"GET /status HTTP/1.0\r\n\r\n", 200),
        (b"GET /status HTTP/1.1\r\nHost:\r\n\r\n", 421),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
        (b"GET http://localhost/status HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200),
        (b"GET http://evil.example@localhost/status HTTP/1.1\r\n\r\n", 200),
        (b"GET http://localhost@evil.example/status HTTP/1.1\r\n\r\n", 421),
    ],
)
def test_host_in_unusual_forms(doorbell: Daemon, head: bytes, status: int) -> None:
    first, _, rest = head.partition(b"\r\n")
    answer = exchange(doorbell, first + b"\r\nConnection: close\r\n" + rest)
    assert int(answer.split()[1]) == status


# The page


def foreign(daemon: Daemon) -> Iterator[Mapping[str, str]]:
    """Return what a browser sends about a page elsewhere."""
    for page in ("http://evil.example", "null", f"http://127.0.0.1:{daemon.port + 1}"):
        yield {"Origin": page}
        yield {"Referer": f"{page}/page.html", "Accept": "image/avif,image/webp,*/*"}
        yield {"Origin": page, **ANYWHERE}


@pytest.mark.parametrize("path", ["/video_feed", "/snapshot.jpg", "/status", "/", "/app.js"])
def test_page_elsewhere_gets_403(doorbell: Daemon, path: str) -> None:
    for headers in foreign(doorbell):
        answer, body = ask(doorbell, path, **headers)
        assert answer.status == 403, headers
        assert body in (b"", b"another web site asks for this\n")


@pytest.mark.parametrize("header", ["Origin", "Referer"])
def test_own_page_is_answered(doorbell: Daemon, header: str) -> None:
    for host in ("localhost:5000", "door.local", "[::1]:5000"):
        headers = {"Host": host, header: f"http://{host}" + "/" * (header == "Referer")}
        assert ask(doorbell, **headers)[0].status == 200


def test_link_from_elsewhere_may_be_followed(doorbell: Daemon) -> None:
    headers = {"Referer": "http://dashboard.example/", **ANYWHERE}
    assert ask(doorbell, "/", **headers)[0].status == 200


def test_nothing_is_opened_to_other_sites_unasked(doorbell: Daemon) -> None:
    for path in ("/", "/status", "/snapshot.jpg", "/video_feed", "/nothing"):
        answer, _ = ask(doorbell, path)
        assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
        assert answer.getheader("Access-Control-Allow-Origin") is None
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_named_origin_may_show_and_read(proxied: Daemon) -> None:
    for headers in ({"Origin": DASHBOARD}, {"Referer": f"{DASHBOARD}/lovelace"}):
        answer, body = ask(proxied, **headers)
        assert answer.status == 200
        assert answer.getheader("Cross-Origin-Resource-Policy") == "cross-origin"
        assert answer.getheader("Access-Control-Allow-Origin") == DASHBOARD
        assert answer.getheader("Vary") == "Origin, Referer"
        assert json.loads(body)["camera"]


def test_strangers_do_not_learn_which_sites_may_show_it(proxied: Daemon) -> None:
    for headers in ({"X_Forwarded_For": STRANGER}, {"Host": "evil.example"}, {"Origin": "null"}):
        answer, _ = ask(proxied, **headers)
        assert answer.status in (403, 421)
        assert "dashboard" not in str(answer.headers)


def test_other_origins_stay_out_though_one_is_named(proxied: Daemon) -> None:
    for headers in foreign(proxied):
        assert ask(proxied, **headers)[0].status == 403
    answer, _ = ask(proxied)
    assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    assert answer.getheader("Access-Control-Allow-Origin") is None
    assert f"frame-ancestors {DASHBOARD}" in answer.headers["Content-Security-Policy"]


# The headers of every answer

REQUESTS = {
    200: b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    303: b"GET /login HTTP/1.1\r\nConnection: close\r\n\r\n",
    400: b"GET /video_feed?fps=x HTTP/1.1\r\nConnection: close\r\n\r\n",
    403: b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n",
    404: b"GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n",
    405: b"PUT / HTTP/1.1\r\nConnection: close\r\n\r\n",
    414: b"GET /" + b"x" * 20_000,
    421: b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    431: b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000,
    505: b"GET / HTTP/3.0\r\n\r\n",
}


@pytest.mark.parametrize("status", REQUESTS)
def test_every_answer_has_the_security_headers_and_no_version(
    doorbell: Daemon, status: int
) -> None:
    answer = only_answer(exchange(doorbell, REQUESTS[status]))
    assert answer.status == status
    assert_strict(answer.headers)


def test_the_stream_has_them_as_well(doorbell: Daemon) -> None:
    with Stream(doorbell) as stream:
        assert stream.headers["x-content-type-options"] == "nosniff"
        assert stream.headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in stream.headers["content-security-policy"]
