"""The webhook, as programs of others read it: the form, the picture and the signature."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doorbelld.notify.target import Event
from doorbelld.notify.webhook import Webhook, WebhookSettings
from doorbelld.visits.visit import described
from tests.support.daemon import GUARD, ROOT, eventually
from tests.support.news import PICTURE, facts, ring, visit
from tests.support.ports import free_port
from tests.support.webhook_receiver import WebhookReceiver

KEY = "k_secret with ümlaut"

READ_FORM = """
const fs = require("fs");
const response = new Response(fs.readFileSync(process.argv[1]),
                              {headers: {"Content-Type": process.argv[2]}});
response.formData().then(async (form) => {
  const image = form.get("image");
  const bytes = image && Buffer.from(await image.arrayBuffer());
  console.log(JSON.stringify({
    names: [...form.keys()],
    event: JSON.parse(await form.get("event")),
    name: image && image.name,
    type: image && image.type,
    image: bytes && bytes.toString("base64"),
  }));
});
"""


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as found:
        yield found


@contextmanager
def webhook(receiver: WebhookReceiver, key_file: Path | None = None) -> Iterator[Webhook]:
    made = Webhook(WebhookSettings(f"{receiver.origin}/hook?a=b", key_file))
    made.show(facts("Tür"))
    made.start()
    try:
        yield made
    finally:
        assert made.stop(5)


def delivered(made: Webhook, count: int) -> None:
    eventually(lambda: made.status().delivered == count, f"{count} were delivered")


def test_form_is_read_by_other_programs(receiver: WebhookReceiver, tmp_path: Path) -> None:
    with webhook(receiver) as made:
        made.tell(ring(12))
        delivered(made, 1)
    [post] = receiver.posts
    assert post.path == "/hook?a=b"
    assert "x-doorbelld-signature" not in post.headers
    (tmp_path / "body").write_bytes(post.body)
    done = subprocess.run(
        ["node", "-e", READ_FORM, str(tmp_path / "body"), post.headers["content-type"]],
        capture_output=True,
        text=True,
        check=True,
        timeout=GUARD,
    )
    found = json.loads(done.stdout)
    assert found["names"] == ["event", "image"]
    assert (found["name"], found["type"]) == ("doorbell-12.jpg", "image/jpeg")
    sent = found["event"].pop("sent")
    assert sent > 1e9
    assert found["event"] == {
        "event": "ring",
        "visit": described(visit(12)),
        "url": "http://192.168.1.9:5000/visits#12",
        "name": "Tür",
    }
    assert post.image == PICTURE


def test_signature_is_that_of_the_whole_body(receiver: WebhookReceiver, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.touch(0o600)
    key_file.write_text(f"{KEY}\n")
    with webhook(receiver, key_file) as made:
        made.tell(ring())
        delivered(made, 1)
        key_file.write_text("rotated")
        made.tell(ring())
        delivered(made, 2)
    for (_, headers, body), key in zip(receiver.posts, (KEY, "rotated")):
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-hmac", key],
            input=body,
            capture_output=True,
            check=True,
            timeout=GUARD,
        )
        wanted = done.stdout.decode().rpartition("= ")[2].strip()
        assert headers["x-doorbelld-signature"] == f"sha256={wanted}"
        assert key.encode() not in body


def test_which_news_are_sent_and_with_what(receiver: WebhookReceiver) -> None:
    with webhook(receiver) as made:
        made.tell(ring(1, reason="silent"))
        for event in (Event.PICTURE, Event.DELETED, Event.ANSWERED):
            made.tell(ring(2, event=event))
        delivered(made, 2)
        result = made.test(ring(0), 20)
        assert (result.is_delivered, result.target) == (True, "webhook")
    assert [post.event["event"] for post in receiver.posts] == ["ring", "answered", "test"]
    assert [post.image is not None for post in receiver.posts] == [False, False, True]
    assert receiver.posts[0].event["visit"]["reason"] == "silent"


def test_only_what_may_work_later_is_tried_again(receiver: WebhookReceiver) -> None:
    receiver.statuses = [503, 429, 500, 200, 404, 410, 201]
    with webhook(receiver) as made:
        made.tell(ring(1))
        delivered(made, 1)
        made.tell(ring(2))
        made.tell(ring(3))
        eventually(lambda: made.status().failed == 2, "refusals are counted")
        assert "answers with the status 410" in made.status().detail
        made.tell(ring(4))
        delivered(made, 2)
    visits = [post.event["visit"]["id"] for post in receiver.posts]
    assert visits == [1, 1, 1, 1, 2, 3, 4]


def test_ring_comes_without_a_picture_that_is_too_large(
    receiver: WebhookReceiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [413, 503, 413, 204, 413, 413, 413]
    key_file = tmp_path / "key"
    key_file.touch(0o600)
    key_file.write_text(KEY)
    with webhook(receiver, key_file) as made:
        made.tell(ring(1))
        delivered(made, 1)
        assert (made.status().state, made.status().failed) == ("ok", 0)
        assert "without their picture" in made.status().detail
        result = made.test(ring(), 20)
        assert "however small" in result.sentence
        made.tell(ring(2, event=Event.ANSWERED))
        eventually(lambda: made.status().failed == 1, "without a picture it is sent once")
    images = [post.image is not None for post in receiver.posts]
    assert images == [True, False, True, False, True, False, False]
    for post in receiver.posts:
        wanted = hmac.new(KEY.encode(), post.body, hashlib.sha256).hexdigest()
        assert post.headers["x-doorbelld-signature"] == f"sha256={wanted}"
    assert [post.summary()[0] for post in receiver.posts[:4]] == ["ring"] * 4
    assert caplog.text.count("messages come without their picture: it is too large for") == 1


def test_remedy_and_no_secret_in_what_is_said(
    receiver: WebhookReceiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [404, 403]
    key_file = tmp_path / "key"
    key_file.touch(0o600)
    key_file.write_text(KEY)
    with webhook(receiver, key_file) as made:
        result = made.test(ring(), 20)
        assert "check the path of the URL in [notify] webhook" in result.sentence
        result = made.test(ring(), 20)
        assert "status 403: check the URL" in result.sentence
        assert "that it has the same key" in result.sentence
        key_file.chmod(0o644)
        result = made.test(ring(), 20)
        assert f"sudo chmod 600 {key_file}" in result.sentence
        said = f"{result}{made.status()}{caplog.text}"
    assert len(receiver.posts) == 2, "nothing leaves without its signature"
    for marker in ("k_secret", "/hook", "a=b"):
        assert marker not in said


def test_program_in_the_manual_takes_what_has_the_signature_and_nothing_else(
    tmp_path: Path,
) -> None:
    manual = (ROOT / "docs" / "notifications.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", manual, re.DOTALL)
    port = free_port()
    assert "8000" in program
    key_file = tmp_path / "webhook_key"
    key_file.touch(0o600)
    key_file.write_text(f"{KEY}\n")
    command = [sys.executable, "-c", program.replace("8000", str(port))]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        made = Webhook(WebhookSettings(f"http://127.0.0.1:{port}/", key_file))
        made.start()
        try:
            made.tell(ring(12))
            delivered(made, 1)
            assert (tmp_path / "door.jpg").read_bytes() == PICTURE
            key_file.write_text("another")
            assert "status 403" in made.test(ring(13), 20).sentence
        finally:
            assert made.stop(5)
            process.kill()
            assert process.communicate(timeout=GUARD)[0] == "ring 12\n"
