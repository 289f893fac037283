"""An IP filter that an administrator has added to the unit, on a kernel that has one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.appliance.cameras.watching import pid
from tests.appliance.machine import HOST, VirtualMachine
from tests.support.webhook_receiver import WebhookReceiver

UNIT = "doorbelld.service"
CONF = "/etc/doorbelld/conf.d/test.conf"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/filter.conf"
PROPERTIES = f"/etc/systemd/system.control/{UNIT}.d"

FILTER = "[Service]\\nIPAddressDeny=any\\nIPAddressAllow=localhost\\n"
SAID = f"Notify: webhook: the IP filter of {UNIT} hides {HOST} from it.\n"


@pytest.fixture
def receiver(vm: VirtualMachine) -> Iterator[WebhookReceiver]:
    """Return a program on the host that the service notifies, but cannot reach; all is undone."""
    with WebhookReceiver() as found:
        url = found.url.replace("127.0.0.1", HOST)
        vm.run(
            f"printf '[notify]\\nwebhook = {url}\\n' > {CONF};"
            f" mkdir -p $(dirname {DROP_IN}); printf '{FILTER}' > {DROP_IN};"
            " systemctl daemon-reload; systemctl restart doorbelld"
        )
        yield found
    vm.run(f"systemctl stop doorbelld; rm -rf {CONF} {DROP_IN} {PROPERTIES}")
    vm.run("systemctl daemon-reload")


def test_filter_is_found_and_the_command_that_is_named_opens_it(
    vm: VirtualMachine, receiver: WebhookReceiver
) -> None:
    said = vm.run("doorbelld notify --test", check=False)
    assert f"webhook: {HOST}:{receiver.port} does not answer; " in said
    assert SAID in said
    assert not receiver.posts
    [command] = re.findall(r"for good: sudo (.*)", said)
    before = pid(vm)
    vm.run(command)
    assert vm.run("doorbelld notify --test") == "webhook: delivered.\n"
    assert len(receiver.posts) == 1
    assert pid(vm) == before, "at once"
    assert HOST in vm.run(f"cat {PROPERTIES}/*"), "for good"
