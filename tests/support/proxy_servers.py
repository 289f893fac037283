"""Reverse proxies: the real nginx, HAProxy and Caddy, from a folder, with a given configuration."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.support.daemon import GUARD, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{servers}
}}
"""
_CADDY = "{\n    admin off\n    auto_https off\n}\n"


@contextmanager
def nginx(folder: Path, servers: str, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Run nginx with these server blocks."""
    path = folder / "nginx.conf"
    path.write_text(_NGINX.format(folder=folder, servers=servers))
    command = ["/usr/sbin/nginx", "-p", str(folder), "-e", f"{folder}/nginx.log", "-c", str(path)]
    with _running([*prefix, *command], folder):
        yield


@contextmanager
def haproxy(folder: Path, configuration: str, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Run HAProxy with this configuration."""
    path = folder / "haproxy.cfg"
    path.write_text(configuration)
    with _running([*prefix, "/usr/sbin/haproxy", "-db", "-f", str(path)], folder):
        yield


@contextmanager
def caddy(folder: Path, sites: str, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Run Caddy with these sites."""
    path = folder / "Caddyfile"
    path.write_text(_CADDY + sites)
    command = ["caddy", "run", "--config", str(path), "--adapter", "caddyfile"]
    homes = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    with _running([*prefix, *command], folder, dict.fromkeys(homes, str(folder))):
        yield


@contextmanager
def _running(
    command: Sequence[str], folder: Path, environ: Mapping[str, str] = {}
) -> Iterator[None]:
    with ExitStack() as stack:
        log = stack.enter_context((folder / "proxy.log").open("ab"))
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environ}
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(GUARD)


def wait_until_it_listens(connect: Callable[[], socket.socket], folder: Path) -> None:
    """Wait until a proxy accepts a connection."""

    def look() -> bool:
        try:
            connect().close()
        except OSError:
            return False
        return True

    try:
        eventually(look, "the proxy listens")
    except AssertionError:
        raise AssertionError((folder / "proxy.log").read_text()) from None
