"""Framing: where a request ends, and what its head says, read once and strictly.

Only a small body that is announced without any doubt belongs to a request. Every other body is
left unread: the app refuses the request, and the connection ends with it. If two programs
disagree about where a body ends, one of them takes part of the body for another request.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

MAX_HEAD = 16 * 1024
"""The longest request head, in bytes."""

MAX_BODY = 4 * 1024
"""The longest request body, in bytes."""

MAX_LINE = 8 * 1024
"""The longest request line, in bytes, with its line end."""

MAX_FIELDS = 99
"""Header lines, as in http.client."""

Fields = tuple[tuple[str, str], ...]
"""Name and value of every header line, in their order."""

# No two adjacent parts of a pattern match the same byte: otherwise a head with thousands of such
# bytes takes quadratic time, and the match holds the interpreter lock all the time.
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_HEAD_END = 4
_LINE_END = re.compile(rb"\r?\n")
_REQUEST_LINE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+(?: HTTP/[0-9]\.[0-9])?")
_POST = re.compile(r"POST [!-~]+ HTTP/1\.[01]")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
_BLANKS = " \t"
_PROXY_1 = b"PROXY "
_PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n"
_LENGTH = re.compile(r"[1-9][0-9]{0,3}[ \t]*")
_PROXY_PROTOCOL = (
    "doorbelld does not speak the PROXY protocol: turn it off in the proxy,"
    " and let it send X-Forwarded-For"
)


class Head(NamedTuple):
    """The head of a request, taken apart.

    ``size`` is its length in bytes, ``line`` the request line, ``fields`` the header lines.
    ``problem`` is the status and the reason with which to refuse the request, None if its head
    is fine. ``has_body`` says that a body is announced, and ``body_size`` how many bytes of it
    belong to this request: 0 if the body is not to be read.
    """

    size: int
    line: str = ""
    fields: Fields = ()
    problem: tuple[HTTPStatus, str] | None = None
    has_body: bool = False
    body_size: int = 0

    @property
    def version(self) -> str:
        """The HTTP version of the request line, such as HTTP/1.1."""
        return self.line[-8:]


def head_size(seen: bytes, searched: int = 0) -> int:
    """Return the length of the request head at the start of ``seen``; 0 if it is not complete.

    An empty line before it counts as part of it. The first ``searched`` bytes were searched
    before, without success: they are not searched again.
    """
    if seen.startswith(_PROXY_2):  # It contains an empty line, where a head would end.
        return len(_PROXY_2)
    start = max(0, searched - _LONGEST_HEAD_END + 1)
    end = _HEAD_END.search(seen, start, MAX_HEAD)
    return end.end() if end else 0


def without_empty_line(request: bytes) -> bytes:
    """Return a request without the one empty line that may come before it.

    Some programs send one after the body of the previous request. RFC 9112 tells servers to
    ignore it (section 2.2).
    """
    found = _LINE_END.match(request)
    return request[found.end() :] if found else request


def read_head(data: bytes) -> Head:
    """Return what a complete request head says, and what is wrong with it.

    The email package, which http.server uses for header lines, accepts much that other programs
    read differently or not at all: lines that are continued, that end in a lone CR or have no
    name, control characters. A proxy in front of us may have understood something else. Lines
    that end in a lone LF, as people type them, are accepted as RFC 9112 allows.
    """
    size, data = len(data), without_empty_line(data)
    end = data.find(b"\n") + 1
    if end > MAX_LINE:
        status = HTTPStatus.REQUEST_URI_TOO_LONG
        return Head(size, problem=(status, status.phrase))
    # The second form of the PROXY protocol begins with what looks like an empty line.
    if data.startswith((_PROXY_1, _PROXY_2[2:])):
        return Head(size, problem=(HTTPStatus.BAD_REQUEST, _PROXY_PROTOCOL))
    if not data[:end].strip():
        return Head(size, problem=(HTTPStatus.BAD_REQUEST, "the request line is empty"))
    line, *lines = data.decode("latin-1").replace("\r\n", "\n").split("\n")[:-2]
    if not _REQUEST_LINE.fullmatch(line):
        why = "the request line cannot be understood"
        return Head(size, problem=(HTTPStatus.BAD_REQUEST, why))
    matches = [match for match in map(_FIELD.fullmatch, lines) if match]
    if len(matches) < len(lines):
        why = "a header line cannot be understood"
        return Head(size, problem=(HTTPStatus.BAD_REQUEST, why))
    fields = tuple([(match[1], match[2].lstrip(_BLANKS)) for match in matches])
    has_body, length = _announced(fields)
    if length and not (_POST.fullmatch(line) and data.count(b"\n") == data.count(b"\r\n")):
        length = 0
    if len(fields) > MAX_FIELDS:  # To be refused: neither wait for its body nor keep thousands.
        fields, length = fields[: MAX_FIELDS + 1], 0
    return Head(size, line, fields, None, has_body, length)


def _announced(fields: Fields) -> tuple[bool, int]:
    """Return whether a body is announced, and its length if there is no doubt about that.

    There is doubt unless a single Content-Length says it, and nothing else that could count
    (Transfer-Encoding, Expect).
    """
    lengths: list[str] = []
    is_coded = is_expected = False
    for name, value in fields:
        lower = name.lower()
        if lower == "content-length":
            lengths.append(value)
        elif lower == "transfer-encoding":
            is_coded = True
        elif lower == "expect":
            is_expected = True
    has_body = is_coded or [each.strip(_BLANKS) for each in lengths] not in ([], ["0"])
    if is_coded or is_expected or len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        return has_body, 0
    length = int(lengths[0])
    return has_body, length if length <= MAX_BODY else 0
