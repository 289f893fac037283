"""An IP filter that someone has added to the unit, on a kernel that has one."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.appliance.machine import VirtualMachine

HOST = "10.0.2.2"
"""The host, as the machine's network shows it."""

DROP_IN = "/etc/systemd/system/doorbelld.service.d"
CONTROL = "/etc/systemd/system.control/doorbelld.service.d"
CONF = "/etc/doorbelld/conf.d/test.conf"


class Receiver(BaseHTTPRequestHandler):
    """Takes a message."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_filter_is_found_and_opened_by_the_command_that_is_named(vm: VirtualMachine) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{HOST}:{server.server_address[1]}/door"
        vm.run(f"printf '[camera]\\nsource = pattern\\n[notify]\\nntfy = {url}\\n' > {CONF}")
        lines = "[Service]\\nIPAddressDeny=any\\nIPAddressAllow=localhost\\n"
        vm.run(f"mkdir -p {DROP_IN}; printf '{lines}' > {DROP_IN}/filter.conf")
        vm.run("systemctl daemon-reload; systemctl restart doorbelld")
        hidden = f"Notify: ntfy: the IP filter of doorbelld.service hides {HOST} from it.\n"
        checked = vm.run("doorbelld --check")
        assert f"Notify: ntfy: {HOST} answers at port" in checked, "only the service is confined"
        assert hidden in checked
        said = vm.run("doorbelld notify --test", check=False)
        assert f"{HOST}:{server.server_address[1]} does not answer" in said
        assert hidden in said
        named = re.findall(r"for good: sudo (.*)", said)
        assert named == [
            f'systemctl set-property doorbelld.service IPAddressAllow="{HOST}"',
        ]
        before = vm.run("systemctl show --value --property=MainPID doorbelld")
        vm.run(named[0])
        assert vm.run("doorbelld notify --test") == "ntfy: delivered.\n"
        assert vm.run("systemctl show --value --property=MainPID doorbelld") == before
        vm.run("systemctl restart doorbelld")
        assert vm.run("doorbelld notify --test") == "ntfy: delivered.\n"
        assert "hides" not in vm.run("doorbelld --check")
        server.shutdown()
    vm.run(f"systemctl stop doorbelld; rm -rf {DROP_IN}/filter.conf {CONTROL} {CONF}")
    vm.run("systemctl daemon-reload")
