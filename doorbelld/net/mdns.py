"""mDNS: the .local name of this machine."""

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

    If two machines have the same host name, Avahi calls one of them raspberrypi-2.local, so this
    asks Avahi. If it does not answer, the name is made from the host name. It usually takes a few
    milliseconds, and two seconds at most.
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
