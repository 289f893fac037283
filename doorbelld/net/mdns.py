"""mDNS: the .local name that avahi answers to for this machine."""

from __future__ import annotations

import re
import socket
import subprocess

_PATIENCE = 2.0
_QUESTION = (
    *("busctl", "--system", "--auto-start=no", "call", "org.freedesktop.Avahi", "/"),
    *("org.freedesktop.Avahi.Server", "GetHostNameFqdn"),
)


def local_name() -> str:
    """Return the machine's name in the local network, such as raspberrypi.local.

    Where two machines have the same host name, avahi calls one of them raspberrypi-2.local, so
    avahi is asked. Where it does not answer, the name is made of the host name. Takes a few
    milliseconds as a rule, and two seconds at most.
    """
    return _name_from_avahi() or f"{socket.gethostname().partition('.')[0].lower()}.local"


def _name_from_avahi() -> str:
    try:
        done = subprocess.run(  # noqa: S603  # ours
            _QUESTION, check=True, capture_output=True, text=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    answer = re.fullmatch(r's "([\w.-]+)"\s*', done.stdout)
    return answer[1].lower() if answer else ""
