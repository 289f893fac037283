"""The program of video_engine.py, run by Debian's Python: prints its port, ends with its input."""

from __future__ import annotations

import sys
from typing import Any

import gi

for _name in ("Gst", "GstRtsp", "GstRtspServer"):
    gi.require_version(_name, "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402  # only after this

# With the parameters of H.264 in the caps: a client that comes later needs them as well.
H264 = "video/x-h264,stream-format=avc,alignment=au"
TAKE = f"( rtph264depay name=depay0 ! {H264} ! appsink name=taken emit-signals=1 sync=0 )"
GIVE = (
    f"( appsrc name=given is-live=1 do-timestamp=1 format=time caps={H264}"
    " ! rtph264pay name=pay0 config-interval=-1 )"
)


class Relay:
    """Gives every client what a publisher sends at the moment."""

    def __init__(self) -> None:
        self.server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")
        # Each client in a thread: one that waits for the first picture must not stop the publisher.
        self.server.get_thread_pool().set_max_threads(-1)
        self._clients: list[Any] = []
        self._add("/doorbell", TAKE, self._on_publisher).set_transport_mode(
            GstRtspServer.RTSPTransportMode.RECORD
        )
        self._add("/watch", GIVE, self._on_client)
        self.server.attach(None)

    def _add(self, path: str, launch: str, on_media: Any) -> Any:
        factory = GstRtspServer.RTSPMediaFactory(launch=launch)
        factory.connect("media-configure", on_media)
        self.server.get_mount_points().add_factory(path, factory)
        return factory

    def _on_publisher(self, _factory: Any, media: Any) -> None:
        media.get_element().get_by_name("taken").connect("new-sample", self._pass_on)

    def _on_client(self, _factory: Any, media: Any) -> None:
        client = media.get_element().get_by_name("given")
        self._clients.append(client)
        media.connect("unprepared", lambda _media: self._clients.remove(client))

    def _pass_on(self, sink: Any) -> Any:
        sample = sink.emit("pull-sample")
        for client in list(self._clients):
            client.set_property("caps", sample.get_caps())
            buffer = sample.get_buffer().copy()
            buffer.pts = buffer.dts = Gst.CLOCK_TIME_NONE
            client.emit("push-buffer", buffer)
        return Gst.FlowReturn.OK


def main() -> None:
    """Serve until the input ends."""
    Gst.init(None)
    relay = Relay()
    print(relay.server.get_bound_port(), flush=True)  # noqa: T201  # for us
    loop = GLib.MainLoop()
    GLib.io_add_watch(
        sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IOCondition.HUP, lambda *_: loop.quit()
    )
    loop.run()


if __name__ == "__main__":
    main()
