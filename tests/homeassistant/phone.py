"""PhoneApp: Home Assistant's app on a phone, as far as it gets notifications."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

from tests.homeassistant.server import HomeAssistant
from tests.support.daemon import GUARD, eventually

_LIMITS = {"successful": 1, "errors": 0, "total": 1, "maximum": 500, "remaining": 499}


class PhoneApp:
    """The server that passes notifications on to phones, with one phone called *Phone*."""

    def __init__(self, home: HomeAssistant) -> None:
        self._received: Queue[dict[str, Any]] = Queue()
        received = self._received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                limits = {**_LIMITS, "resetsAt": "2100-01-01T00:00:00.000Z"}
                answer = json.dumps({"rateLimits": limits}).encode()
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        url = f"http://127.0.0.1:{self._server.server_port}/"
        about = {
            "app_id": "app",
            "app_name": "App",
            "app_version": "1",
            "device_id": "phone",
            "device_name": "Phone",
            "manufacturer": "-",
            "model": "-",
            "os_name": "-",
            "os_version": "1",
            "supports_encryption": False,
        }
        app_data = {"push_token": "token", "push_url": url}
        home.post("/api/mobile_app/registrations", {**about, "app_data": app_data})
        eventually(lambda: "mobile_app_phone" in str(home.get("/api/services")), "its action")

    def notification(self) -> dict[str, Any]:
        """Wait for the next notification."""
        return self._received.get(timeout=GUARD)

    def has_more(self) -> bool:
        """Return whether there is another one."""
        return not self._received.empty()

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
