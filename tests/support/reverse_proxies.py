"""Reverse proxies: nginx, haproxy and Caddy in front of a daemon, each a child process on loopback.

The caller gives the part of the configuration that matters; everything else (folders, logs,
process id) is kept in a temporary folder. Nothing runs in the background: the process ends with
the ``with`` block.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.daemon import GUARD, eventually

_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port}{ssl};
{server}
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffering off;
{snippet}
        }}
    }}
}}
"""

_HAPROXY = """\
defaults
    mode http
    timeout connect {guard}s
    timeout client {guard}s
    timeout server {guard}s
frontend front
    bind 127.0.0.1:{port}
    option forwardfor
{snippet}
    default_backend door
backend door
    server door 127.0.0.1:{upstream}
"""

_CADDY = """\
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{upstream} {{
{snippet}
    }}
}}
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _listens(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def _running(
    command: Sequence[str], folder: Path, port: int, environ: Mapping[str, str] = {}
) -> Iterator[int]:
    """Run a proxy until the block ends; give the port that it listens on."""
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), **environ},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )

    def is_up() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")
        return _listens(port)

    try:
        eventually(is_up, f"{command[0]} listens")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(GUARD)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def nginx(
    folder: Path, upstream: int, snippet: str = "", *, certificate: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """Run nginx with ``snippet`` in its location block; give its port.

    It speaks TLS with ``certificate``, a certificate and its key.
    """
    port = _free_port()
    server = ""
    if certificate:
        server = f"        ssl_certificate {certificate[0]};\n"
        server += f"        ssl_certificate_key {certificate[1]};\n"
    text = _NGINX.format(
        folder=folder,
        port=port,
        upstream=upstream,
        snippet=snippet,
        server=server,
        ssl=" ssl" if certificate else "",
    )
    path = folder / "nginx.conf"
    path.write_text(text, encoding="ascii")
    command = ["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(path)]
    with _running(command, folder, port) as found:
        yield found


@contextmanager
def haproxy(folder: Path, upstream: int, snippet: str = "") -> Iterator[int]:
    """Run haproxy with ``snippet`` in its frontend; give its port."""
    port = _free_port()
    path = folder / "haproxy.cfg"
    text = _HAPROXY.format(port=port, upstream=upstream, snippet=snippet, guard=int(GUARD))
    path.write_text(text, encoding="ascii")
    with _running(["haproxy", "-db", "-f", str(path)], folder, port) as found:
        yield found


@contextmanager
def caddy(folder: Path, upstream: int, snippet: str = "") -> Iterator[int]:
    """Run Caddy with ``snippet`` in its reverse_proxy block; give its port."""
    port = _free_port()
    path = folder / "Caddyfile"
    path.write_text(_CADDY.format(port=port, upstream=upstream, snippet=snippet), encoding="ascii")
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(path)]
    environ = {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with _running(command, folder, port, environ) as found:
        yield found
