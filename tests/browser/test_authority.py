"""The machine's own authority in browsers that trust its root: no warning, and an app."""

from __future__ import annotations

import os
import plistlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from tests.support import axe, chromium
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.phone import TEST_CARD, Phone, Phones
from tests.support.secure import (
    Pair,
    SecureDaemon,
    make_pair,
    make_signed_pair,
    root_of,
    server_context,
    sign,
)

HOST = socket.gethostname().partition(".")[0].lower()
PERMITTED, FOREIGN = f"{HOST}.local", "elsewhere.local"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an authority and a certificate by it."""
    folder = tmp_path_factory.mktemp("made")
    make_signed_pair(folder)
    return folder


@pytest.fixture(scope="module")
def trusting(
    made: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """Return a browser that trusts this authority."""
    folder = tmp_path_factory.mktemp("trusting")
    with chromium.chromium(folder, root_of(made), beside=browser) as found:
        yield found


@pytest.fixture
def page(trusting: Browser) -> Iterator[Page]:
    """Return a tab as a user has it, not a private one, in which nothing can be installed."""
    found = trusting.contexts[0].new_page()
    yield found
    found.close()


@pytest.fixture
def secure(made: Path, tmp_path: Path) -> Iterator[SecureDaemon]:
    """Return a daemon with a certificate by this authority."""
    door = SecureDaemon(tmp_path, Pair(made / "tls.crt", made / "tls.key"))
    with door:
        door.start(TEST_CARD)
        yield door


@contextmanager
def server(pair: Pair) -> Iterator[tuple[int, list[str]]]:
    """Run a server with any certificate; yield its port and what becomes of its connections."""
    context, outcomes = server_context(pair), list[str]()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return  # closed
            sock.settimeout(GUARD)
            with sock:
                try:
                    with context.wrap_socket(sock, server_side=True) as tls:
                        outcomes.append(tls.recv(4096)[:4].decode())
                        tls.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\nhere")
                except OSError as error:
                    outcomes.append(str(error))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], outcomes
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def problems_of_installing(page: Page) -> list[str]:
    """Return why the browser would not install the page as an app."""
    session = page.context.new_cdp_session(page)
    found = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    return [each["errorId"] for each in found]


def test_page_opens_without_a_warning_and_can_be_an_app(page: Page, secure: SecureDaemon) -> None:
    phone = Phone(page)
    for host in ("127.0.0.1", "localhost", PERMITTED):
        page.goto(f"https://{host}:{secure.port}/", wait_until="domcontentloaded")
        phone.wait_for("live")
        assert phone.evaluate("() => isSecureContext")
        eventually(lambda: problems_of_installing(page) == [], "an app")
    assert phone.problems == []


def test_plain_page_is_an_icon_only(page: Page, secure: SecureDaemon) -> None:
    secure.stop()
    (secure.folder / "log").unlink()
    super(SecureDaemon, secure).start(TEST_CARD)
    page.goto(f"http://{PERMITTED}:{secure.port}/", wait_until="domcontentloaded")
    eventually(lambda: problems_of_installing(page) == ["not-from-secure-origin"], "no app")


def test_certificate_for_another_name_is_refused(page: Page, made: Path) -> None:
    for name, is_trusted in ((PERMITTED, True), (FOREIGN, False)):
        with server(sign(made, f"DNS:{name}")) as (port, outcomes):
            if is_trusted:
                page.goto(f"https://{name}:{port}/")
                assert outcomes[-1] == "GET "
            else:
                with pytest.raises(Error, match="ERR_CERT_INVALID"):
                    page.goto(f"https://{name}:{port}/")
                assert "GET " not in outcomes


def test_self_signed_certificate_is_still_warned_about(page: Page, tmp_path: Path) -> None:
    refused = pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID")
    with server(make_pair(tmp_path)) as (port, _), refused:
        page.goto(f"https://localhost:{port}/")


@pytest.mark.parametrize(
    ("name", "expected"), [(PERMITTED, "GET "), (FOREIGN, "ALERT_BAD_CERTIFICATE")]
)
def test_firefox_trusts_the_page_and_no_other_name(
    made: Path, tmp_path: Path, name: str, expected: str
) -> None:
    profile = tmp_path / "profile"
    chromium.trust(root_of(made), profile)
    resolve = f'user_pref("network.dns.localDomains", "{name}");\n'
    (profile / "user.js").write_text(resolve, encoding="ascii")
    firefox = ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile)]
    with server(sign(made, f"DNS:{name}")) as (port, outcomes):
        process = subprocess.Popen(
            [*firefox, f"https://{name}:{port}/"],
            env={**os.environ, "HOME": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: outcomes, "Firefox to decide")
            assert all(expected in each for each in outcomes)
        finally:
            process.terminate()
            process.wait(GUARD)


def test_page_offers_the_certificate_and_can_be_read_by_everyone(
    phones: Phones, secure: SecureDaemon, made: Path
) -> None:
    page = phones((195, 420), ignore_https_errors=True).page
    page.goto(f"https://127.0.0.1:{secure.port}/install.html")
    expect(page.locator("#result")).to_have_text("This makes an app in its own window.")
    expect(page.locator("#trust")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 195
    assert axe.violations(page.evaluate) == []
    root = ssl.PEM_cert_to_DER_cert(root_of(made).read_text(encoding="ascii"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Android").click()
    assert download.value.suggested_filename == "ca.crt"
    assert download.value.path().read_bytes() == root
    answer = page.context.request.get(
        page.get_by_role("link", name="iPhone").evaluate("each => each.href")
    )
    (certificate,) = plistlib.loads(answer.body())["PayloadContent"]
    assert certificate["PayloadContent"] == root


@pytest.mark.parametrize(
    ("language", "expected"), [("en", "This makes an icon"), ("de", "Das Symbol öffnet")]
)
def test_page_without_an_authority_offers_no_certificate(
    phone: Phone, doorbell: Daemon, language: str, expected: str
) -> None:
    with phone.page.expect_response("**/ca.crt") as answer:
        phone.page.goto(f"http://127.0.0.1:{doorbell.port}/install.html?lang={language}")
    assert answer.value.status == 404
    expect(phone.page.locator("#result")).to_contain_text(expected)
    expect(phone.page.locator("#trust")).to_be_hidden()
    phone.page.locator(".back").click()
    expect(phone.page.locator("#stage")).to_be_visible()
