"""The program of rtsp_server.py, run by Debian's Python: prints its ports, ends with its input."""

from __future__ import annotations

import sys
from typing import Any

import gi

for _name in ("Gst", "GstRtsp", "GstRtspServer"):
    gi.require_version(_name, "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402  # only after this

VIDEO = (
    "( videotestsrc is-live=1 ! video/x-raw,format=I420,width=320,height=240,framerate=15/1"
    " ! jpegenc ! rtpjpegpay name=pay0 )"
)
SOUND = "( audiotestsrc is-live=1 ! mulawenc ! rtppcmupay name=pay0 )"
UDP = GstRtsp.RTSPLowerTrans.UDP
AUTHORIZATION = (None, GstRtsp.RTSPAuthMethod.BASIC, GstRtsp.RTSPAuthMethod.DIGEST)


def serve(method: Any) -> Any:
    """Return a server; with a ``method`` its cameras need the password."""
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")
    for path, launch in (("/video", VIDEO), ("/udp", VIDEO), ("/sound", SOUND)):
        factory = GstRtspServer.RTSPMediaFactory(launch=launch, shared=True)
        if path == "/udp":
            factory.set_protocols(UDP)
        if method is not None:
            role = GstRtspServer.RTSPToken()
            role.set_string("media.factory.role", "user")
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("user", "media.factory.access", True)
            permissions.add_permission_for_role("user", "media.factory.construct", True)
            factory.set_permissions(permissions)
            auth = GstRtspServer.RTSPAuth()
            auth.set_supported_methods(method)
            if method is AUTHORIZATION[1]:
                basic = GstRtspServer.RTSPAuth.make_basic("anton", "ses@me")
                auth.add_basic(basic, role)
            else:
                auth.add_digest("anton", "ses@me", role)
            server.set_auth(auth)
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    return server


def main() -> None:
    """Serve until the input ends."""
    Gst.init(None)
    servers = [serve(method) for method in AUTHORIZATION]
    print(*(server.get_bound_port() for server in servers), flush=True)  # noqa: T201  # for us
    loop = GLib.MainLoop()
    GLib.io_add_watch(
        sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IOCondition.HUP, lambda *_: loop.quit()
    )
    loop.run()


if __name__ == "__main__":
    main()
