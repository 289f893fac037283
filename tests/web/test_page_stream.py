"""The page's reader of its stream, in Node: parts are cut out of bytes however they are chunked."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import evaluate

pytestmark = pytest.mark.process

PARSE = """
const { PartParser } = await import("./live.js");
return CASES.map((chunks) => {
  const parser = new PartParser();
  const found = [];
  try {
    for (const chunk of chunks) {
      for (const { headers, chunks } of parser.push(Buffer.from(chunk, "base64"))) {
        found.push([headers, Buffer.concat(chunks).toString("base64")]);
      }
    }
  } catch (error) {
    return [found, error.message, parser.hasEnded];
  }
  return [found, "", parser.hasEnded];
});
"""


def part(body: bytes, **headers: str) -> bytes:
    """Return one part with the boundary before it."""
    fields = {"Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"--frame\r\n" + lines.encode() + b"\r\n" + body + b"\r\n"


def parse(folder: Path, *cases: list[bytes]) -> list[Any]:
    """Return for each list of chunks the bodies that were cut out, the error, and "has ended"."""
    chunks = json.dumps([[base64(chunk) for chunk in case] for case in cases])
    found = evaluate(folder, PARSE.replace("CASES", chunks))
    return [
        [[(headers, unbase64(body)) for headers, body in parts], error, ended]
        for parts, error, ended in found
    ]


def base64(data: bytes) -> str:
    import base64 as codec

    return codec.b64encode(data).decode()


def unbase64(text: str) -> bytes:
    import base64 as codec

    return codec.b64decode(text)
