"""Clients with a public address behind real proxies that are not in the configuration."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.daemon import eventually
from tests.support.network_namespace import NamespacedDaemon, NetworkNamespace
from tests.support.proxy_servers import caddy, haproxy, nginx, wait_until_it_listens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAN, LOCAL_PHONE = "192.168.77.1", "192.168.77.2"
PUBLIC, STRANGER = "203.0.113.1", "198.51.100.9"
PATHS = ("/", "/snapshot.jpg", "/video_feed", "/status")
NAME = "door.example.org"
PORT = 5000

NGINX = {
    8001: "",
    8002: "proxy_set_header Host $host;",
    8003: "proxy_http_version 1.1;",
    8004: "proxy_http_version 1.1; proxy_set_header Host $host;"
    " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;",
    8005: "proxy_set_header X-Real-IP $remote_addr;",
    8006: "proxy_set_header X-Forwarded-For $remote_addr;",
    8007: "proxy_set_header Forwarded for=$remote_addr;",
    8008: "proxy_set_header Authorization 'Basic eDp5';",
    8009: "proxy_set_header Host $host; proxy_set_header X-Scheme $scheme;",
    8010: "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
    " proxy_set_header Connection $connection_upgrade;",
    8011: "proxy_http_version 1.1; proxy_set_header Host $http_host;"
    " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;"
    " proxy_set_header X-Forwarded-For $remote_addr;",
}
SILENT = (8001, 8002, 8003, 8004, 8005, 8008, 8009, 8010)
"""Proxies that do not name their client, so that trusting them is no use."""

HAPROXY = {
    8101: "",
    8102: "option forwardfor",
    8103: "http-request set-header X-Client-IP %[src]",
}
HAPROXY_SERVER = {8104: "send-proxy", 8105: "send-proxy-v2"}
CADDY = {8201: "", 8202: "header_up -X-Forwarded-*"}
PORTS = (*NGINX, *HAPROXY, *HAPROXY_SERVER, *CADDY)


class Net(NamedTuple):
    """A machine with a public address and one in a LAN, and a client that has both as well."""

    door: NetworkNamespace
    client: NetworkNamespace


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    with NetworkNamespace() as door, NetworkNamespace(within=door) as client:
        door.link(client, "door0", "phone0")
        for place, link, local, public, other in (
            (door, "door0", LAN, PUBLIC, STRANGER),
            (client, "phone0", LOCAL_PHONE, STRANGER, PUBLIC),
        ):
            place.ip("address", "add", f"{local}/24", "dev", link)
            place.ip("address", "add", f"{public}/32", "dev", link)
            place.ip("route", "add", other, "dev", link, "src", public)
        yield Net(door, client)


@pytest.fixture(scope="module")
def _proxies(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run all the proxies, before the daemon is started."""
    to = f"127.0.0.1:{PORT}"
    servers = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n"
    servers += "".join(
        f"server {{ listen {port}; location / {{ proxy_pass http://{to}; {lines} }} }}\n"
        for port, lines in NGINX.items()
    )
    defaults = "defaults\n  mode http\n  timeout connect 9s\n  timeout client 9s\n"
    listening = "".join(
        f"listen p{port}\n  bind :{port}\n  {lines}\n  server door {to} {options}\n"
        for port, lines, options in (
            *((port, lines, "") for port, lines in HAPROXY.items()),
            *((port, "", options) for port, options in HAPROXY_SERVER.items()),
        )
    )
    sites = "".join(
        f"http://:{port} {{\n  reverse_proxy {to} {{\n  {lines}\n  }}\n}}\n"
        for port, lines in CADDY.items()
    )
    with ExitStack() as stack:
        for run, text, port in (
            (nginx, servers, min(NGINX)),
            (haproxy, f"{defaults}  timeout server 9s\n{listening}", min(HAPROXY)),
            (caddy, sites, min(CADDY)),
        ):
            folder = tmp_path_factory.mktemp("proxy")
            stack.enter_context(run(folder, text, net.door.prefix))
            wait_until_it_listens(partial(net.door.connect, "127.0.0.1", port), folder)
        yield


@pytest.fixture
def daemon(net: Net, tmp_path: Path) -> Iterator[NamespacedDaemon]:
    found = NamespacedDaemon(tmp_path, net.door)
    with found:
        yield found


def start(daemon: NamespacedDaemon, net: Net, **access: str) -> None:
    settings = {f"access.{key}": value for key, value in access.items()}
    daemon.start(
        {"server.listen": f":{PORT}", "camera.resolution": "160x120", **settings},
        prefix=net.door.prefix,
    )
    # Not by /status, which may be refused even to this machine.
    eventually(lambda: "camera streaming" in daemon.log(), "a picture")


def ask(net: Net, address: str, port: int, path: str = "/status", **headers: str) -> int:
    """Return the status of the client's request to this address."""
    connection = HTTPConnection(address, port)
    connection.sock = net.client.connect(address, port)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("GET", path, headers=named)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.usefixtures("_proxies")
@pytest.mark.parametrize("hosts", ["none", NAME])
def test_no_stranger_is_let_in_through_a_proxy_that_is_not_trusted(
    daemon: NamespacedDaemon, net: Net, hosts: str
) -> None:
    start(daemon, net, hosts=hosts)
    for port in PORTS:
        if port == 8202:
            continue  # doorbelld can recognise it only by the host name: see below.
        for path in PATHS:
            for host in (f"{PUBLIC}:{port}", NAME):
                assert ask(net, PUBLIC, port, path, Host=host) in (400, 403, 421), (port, host)
    assert ask(net, PUBLIC, PORT) == 403, "nor without a proxy"
    assert ask(net, LAN, PORT) == 200, "but the LAN is"
    refused = daemon.log()
    assert "127.0.0.1 is not in trusted_proxies; to allow it, set" in refused
    assert "[access] trusted_proxies = 127.0.0.1" in refused


def ask_in_few_words(net: Net, port: int, *lines: str) -> int:
    """Return the status of a request that has only these header lines."""
    with net.client.connect(PUBLIC, port) as sock:
        sock.sendall("\r\n".join(["GET /status HTTP/1.1", *lines, "", ""]).encode())
        return int(sock.recv(12)[9:])


@pytest.mark.usefixtures("_proxies")
def test_no_stranger_is_let_in_through_nginx_whatever_it_says(
    daemon: NamespacedDaemon, net: Net
) -> None:
    start(daemon, net)
    for port in NGINX:
        for host in ("localhost", "127.0.0.1:5000", PUBLIC):
            for more in ((), ("Upgrade: x",), ("Upgrade: h2c", "Connection: Upgrade")):
                for agent in ((), ("User-Agent: x",)):
                    found = ask_in_few_words(net, port, f"Host: {host}", *more, *agent)
                    assert found == 403, (port, host, more, agent)


@pytest.mark.usefixtures("_proxies")
def test_proxy_on_this_machine_that_adds_nothing_is_known_by_the_name_it_passes_on(
    daemon: NamespacedDaemon, net: Net
) -> None:
    start(daemon, net, hosts=NAME)
    for port in (8101, 8202):
        for host in (PUBLIC, LAN, NAME, "8.8.8.8", "[2001:db8::1]"):
            assert ask(net, PUBLIC, port, Host=host) == 403, (port, host)


@pytest.mark.usefixtures("_proxies")
def test_a_trusted_proxy_that_names_no_client_lets_no_client_in(
    daemon: NamespacedDaemon, net: Net
) -> None:
    start(daemon, net, trusted_proxies="127.0.0.1", hosts=NAME)
    for port in (*SILENT, 8101, 8103):
        for path in PATHS:
            assert ask(net, PUBLIC, port, path, Host=NAME) == 403, port
            assert ask(net, LAN, port, path, Host=NAME) == 403, port
    # nginx passes on the headers that it does not set.
    for port in (8001, 8002, 8003, 8005, 8008, 8009):
        for header in ("X_Forwarded_For", "Forwarded"):
            forged = {"X_Forwarded_For": LOCAL_PHONE, "Forwarded": f"for={LOCAL_PHONE}"}[header]
            assert ask(net, PUBLIC, port, Host=NAME, **{header: forged}) == 403, port
    assert "does not name its client: make it send X-Forwarded-For" in daemon.log()


@pytest.mark.usefixtures("_proxies")
def test_a_trusted_proxy_that_names_its_clients_lets_in_only_the_lan(
    daemon: NamespacedDaemon, net: Net
) -> None:
    start(daemon, net, trusted_proxies="127.0.0.1", hosts=NAME)
    for port in (8006, 8007, 8011, 8102, 8201):
        for path in PATHS:
            for host in (NAME, f"{NAME}:{port}", f"{LAN}:{port}"):
                assert ask(net, LAN, port, path, Host=host) == 200, (port, host)
                assert ask(net, PUBLIC, port, path, Host=host) == 403, (port, host)
        for forged in (LOCAL_PHONE, "127.0.0.1", f"{LOCAL_PHONE}, 127.0.0.1", "unknown", ""):
            assert ask(net, PUBLIC, port, Host=NAME, X_Forwarded_For=forged) in (400, 403), port
            forwarded = f'for="{forged}'  # The open quote might swallow what the proxy adds.
            assert ask(net, PUBLIC, port, Host=NAME, Forwarded=forwarded) in (400, 403), port


def test_a_router_that_hides_its_clients_is_recognised_by_its_address(
    daemon: NamespacedDaemon, net: Net
) -> None:
    start(daemon, net)
    assert ask(net, LAN, PORT, Host="198.51.100.77:5000") == 403
    assert "198.51.100.77 is no address of this machine or its network" in daemon.log()
    assert ask(net, LAN, PORT, Host=f"{PUBLIC}:5000") == 200, "this one is its own"
    assert ask(net, LAN, PORT, Host="10.1.2.3") == 200, "some networks have several layers"
