"""The page's reader of its stream: parts are cut out of the bytes however these are chunked."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.node import evaluate

pytestmark = pytest.mark.process

PARSE = """
const { PartParser } = await import("./live.js");
return CASES.map((chunks) => {
  const parser = new PartParser();
  const found = [];
  let problem = "";
  try {
    for (const chunk of chunks) {
      for (const { headers, chunks } of parser.push(Buffer.from(chunk, "base64"))) {
        found.push([headers, Buffer.concat(chunks).toString("base64")]);
      }
    }
  } catch (error) {
    problem = error.message;
  }
  return [found, problem, parser.hasEnded];
});
"""
MOST_HEAD = 4096
MOST_BODY = 32 * 1024 * 1024


def part(body: bytes, **headers: str) -> bytes:
    """Return one part with the boundary before it."""
    fields = {"Content-Type": "image/jpeg", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"--frame\r\n" + lines.encode() + b"\r\n" + body + b"\r\n"


def parse(folder: Path, *cases: list[bytes]) -> list[Any]:
    """Return for each list of chunks what came out: parts, the error, whether it has ended."""
    chunks = [[b64encode(chunk).decode() for chunk in case] for case in cases]
    found = evaluate(folder, PARSE.replace("CASES", json.dumps(chunks)))
    return [
        ([(headers, b64decode(body)) for headers, body in parts], problem, has_ended)
        for parts, problem, has_ended in found
    ]


def bodies(parts: list[tuple[dict[str, str], bytes]]) -> list[bytes]:
    return [body for _, body in parts]


def in_pieces(data: bytes, source: np.random.Generator) -> list[bytes]:
    """Return the data in chunks of any length, empty ones among them."""
    found = []
    longest = int(source.choice([1, 2, 7, 60, 1000, 100_000]))
    while data:
        length = source.integers(longest + 1)
        found.append(data[:length])
        data = data[length:]
    return found


def test_parts_are_the_same_however_the_bytes_are_chunked(tmp_path: Path) -> None:
    source = np.random.default_rng(20)
    # What looks like the end of a part, or of its headers, may be in a picture.
    tricky = [
        b"",
        b"\r\n",
        b"\r\n--frame\r\n",
        b"--frame\r\nContent-Length: 9\r\n\r\n",
        b"\r\n\r\n" * 9,
    ]
    cases, expected = [], []
    for _ in range(150):
        inside = [
            tricky[source.integers(len(tricky))] + source.bytes(int(source.integers(300)))
            for _ in range(source.integers(6))
        ]
        data = b"".join(part(body) for body in inside) + b"--frame\r\n"
        cases.append(in_pieces(data, source))
        expected.append((inside, "", False))
    found = parse(tmp_path, *cases)
    assert [(bodies(parts), *rest) for parts, *rest in found] == expected


def test_part_is_there_with_its_last_byte(tmp_path: Path) -> None:
    whole = part(b"picture")
    ((parts, _, _),) = parse(tmp_path, [whole[:-2]])
    assert bodies(parts) == [b"picture"]
    ((parts, _, _),) = parse(tmp_path, [whole[:-3]])
    assert parts == []


def test_headers_are_read_whatever_their_case_and_unknown_ones_do_no_harm(tmp_path: Path) -> None:
    data = part(b"x", **{"X-TIMESTAMP": "12.5", "X-New": "a: b"})
    (([(headers, _)], _, _),) = parse(tmp_path, [data])
    assert (headers["x-timestamp"], headers["x-new"]) == ("12.5", "a: b")


@pytest.mark.parametrize("chunks", [1, 9], ids=["in one piece", "in pieces"])
def test_end_on_purpose_is_noticed(tmp_path: Path, chunks: int) -> None:
    data = part(b"x") + b"--frame\r\nX-Ended: "
    step = -(-len(data) // chunks)
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    ((parts, problem, has_ended),) = parse(tmp_path, pieces)
    assert (bodies(parts), problem, has_ended) == ([b"x"], "", True)


def test_stream_that_is_damaged_is_given_up_at_once(tmp_path: Path) -> None:
    good = part(b"good")
    cases = [
        b"<!doctype html>\r\n\r\n",
        b"--other\r\nContent-Length: 1\r\n\r\nx",
        b"--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        b"--frame\r\nContent-Length: -1\r\n\r\n",
        b"--frame\r\nContent-Length: 1e3\r\n\r\n",
        b"--frame\r\nContent-Length: %d\r\n\r\n" % (MOST_BODY + 1),
        b"--frame\r\nContent-Length: 99999999999\r\n\r\n",
        b"--frame\r\n" + b"X" * MOST_HEAD,
        b"one byte too many" + good,
        good[1:],
        b"--frame\r\nContent-Length: 9\r\n\r\n8 bytes.\r\n" + good,
    ]
    found = parse(tmp_path, *([good, case] for case in cases))
    for case, (parts, problem, _) in zip(cases, found):
        assert bodies(parts)[0] == b"good", case
        assert problem, case


def test_noise_is_never_taken_for_a_picture(tmp_path: Path) -> None:
    source = np.random.default_rng(21)
    cases = [[source.bytes(6000)] for _ in range(50)]
    assert all(parts == [] and problem for parts, problem, _ in parse(tmp_path, *cases))


def test_no_bytes_are_copied_or_kept_longer_than_a_part(tmp_path: Path) -> None:
    script = """
      const { PartParser } = await import("./live.js");
      const parser = new PartParser();
      const head = "--frame\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: 1000000\\r\\n\\r\\n";
      const chunk = new Uint8Array(50000);
      let parts = 0;
      const base = process.memoryUsage().arrayBuffers;
      let most = 0;
      for (let round = 0; round < 300; round += 1) {
        parser.push(Buffer.from(head));
        for (let at = 0; at < 1000000; at += chunk.length) parts += parser.push(chunk).length;
        parser.push(Buffer.from("\\r\\n"));
        most = Math.max(most, process.memoryUsage().arrayBuffers - base);
      }
      return [parts, most];
    """
    parts, most = evaluate(tmp_path, script)
    assert parts == 300
    assert most < 1_000_000
