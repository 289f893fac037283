"""Plain proxies: nginx, HAProxy and Caddy in front of a daemon, as little set up as people do it,
with their buffers and their compression."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.support import proxy_servers
from tests.support.daemon import GUARD, Daemon
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

_NGINX = """
server {{
    listen {address}:{port}{listen};
    {tls}
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    location / {{
        proxy_pass http://127.0.0.1:{upstream};
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        {location}
    }}
}}
"""
_HAPROXY = f"""
defaults
    mode http
    timeout connect {GUARD:.0f}s
    timeout client {GUARD:.0f}s
    timeout server {GUARD:.0f}s
frontend door
    bind {{address}}:{{port}}
    option forwardfor
    compression algo gzip
    default_backend doorbelld
backend doorbelld
    server doorbell 127.0.0.1:{{upstream}}
"""
_CADDY = """
http://:{port} {{
    bind {address}
    encode gzip
    reverse_proxy 127.0.0.1:{upstream}
}}
"""


class Server(NamedTuple):
    """A proxy and how it is set up."""

    run: Callable[[Path, str, Sequence[str]], AbstractContextManager[None]]
    text: str
    location: str = ""


SERVERS = {
    "nginx as it comes": Server(proxy_servers.nginx, _NGINX),
    "nginx without its buffers": Server(proxy_servers.nginx, _NGINX, "proxy_buffering off;"),
    "nginx by HTTP/1.1": Server(
        proxy_servers.nginx,
        _NGINX,
        'proxy_http_version 1.1; proxy_set_header Connection "keep-alive";',
    ),
    "haproxy": Server(proxy_servers.haproxy, _HAPROXY),
    "caddy": Server(proxy_servers.caddy, _CADDY),
}


@contextmanager
def in_front(
    server: Server,
    daemon: Daemon,
    address: str = "127.0.0.1",
    prefix: Sequence[str] = (),
    **more: str,
) -> Iterator[int]:
    """Run a proxy in front of a daemon; yield its port."""
    port = free_port()
    values = {"listen": "", "tls": "", "location": server.location, **more}
    text = server.text.format(address=address, port=port, upstream=daemon.port, **values)
    with server.run(daemon.folder, text, prefix):
        yield port
