"""Reverse proxies in front of a daemon, on loopback, with lines of the caller's."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from tests.support import proxy_servers
from tests.support.daemon import GUARD
from tests.support.ports import free_port

_NGINX = """\
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffering off;
            {snippet}
        }}
    }}
"""

_HAPROXY = f"""\
defaults
    mode http
    timeout connect {GUARD:.0f}s
    timeout client {GUARD:.0f}s
    timeout server {GUARD:.0f}s
frontend front
    bind 127.0.0.1:{{port}}
    option forwardfor
    {{snippet}}
    default_backend door
backend door
    server door 127.0.0.1:{{upstream}}
"""

_CADDY = """\
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{upstream} {{
        {snippet}
    }}
}}
"""

Proxy = Callable[[Path, int, str], AbstractContextManager[int]]


@contextmanager
def _running(
    run: Callable[[Path, str], AbstractContextManager[None]],
    template: str,
    folder: Path,
    upstream: int,
    snippet: str,
) -> Iterator[int]:
    """Run a proxy until the block ends; yield the port that it listens on."""
    port = free_port()
    with run(folder, template.format(port=port, upstream=upstream, snippet=snippet)):
        connect = partial(socket.create_connection, ("127.0.0.1", port))
        proxy_servers.wait_until_it_listens(connect, folder)
        yield port


nginx: Proxy = partial(_running, proxy_servers.nginx, _NGINX)
"""Run nginx with a snippet in its location block; yield its port."""

haproxy: Proxy = partial(_running, proxy_servers.haproxy, _HAPROXY)
"""Run HAProxy with a snippet in its frontend; yield its port."""

caddy: Proxy = partial(_running, proxy_servers.caddy, _CADDY)
"""Run Caddy with a snippet in its reverse_proxy block; yield its port."""
