"""Framing: where a request ends, and whether everybody would agree.

Only a small body that is announced beyond any doubt belongs to a request: every other body is
left where it is, for the handler to refuse, and the connection ends with it. For who takes a
body's end for somewhere else than another program does, takes a stranger's bytes for a request.
"""

from __future__ import annotations

import re

MAX_HEAD = 16 * 1024
"""The longest request head, in bytes."""

MAX_BODY = 4 * 1024
"""The longest request body, in bytes."""

# No two parts of a pattern that follow each other match the same byte: else a head with thousands
# of such bytes takes quadratic time, and the interpreter is held by the match meanwhile.
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_HEAD_END = 4
_LINE_END = re.compile(rb"\r?\n")
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+(?: HTTP/[0-9]\.[0-9])?")
_POST = re.compile(rb"POST [!-~]+ HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
_BLANKS = b" \t"
_PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n"
_LENGTH = re.compile(rb"[1-9][0-9]{0,3}[ \t]*")


def head_size(seen: bytes, searched: int = 0) -> int:
    """Return the length of the request head that ``seen`` begins with; 0 while it is not whole.

    An empty line before it counts as part of it. ``searched`` is how many of these bytes were
    searched before, in vain: they are not searched again.
    """
    if seen.startswith(_PROXY_2):  # It has an empty line in it, where a head would end.
        return len(_PROXY_2)
    start = max(0, searched - _LONGEST_HEAD_END + 1)
    end = _HEAD_END.search(seen, start, MAX_HEAD)
    return end.end() if end else 0


def is_proxy_protocol(request: bytes) -> bool:
    """Return whether this is no request, but what the PROXY protocol of haproxy begins with.

    An empty line at its start may have been taken away.
    """
    return request.startswith((b"PROXY ", _PROXY_2, _PROXY_2[2:]))


def without_empty_line(request: bytes) -> bytes:
    """Return a request without the one empty line that may come before it.

    Some programs send one after the body of the request before; RFC 9112 tells servers to
    ignore it (section 2.2).
    """
    found = _LINE_END.match(request)
    return request[found.end() :] if found else request


def flaw(head: bytes) -> str:
    """Return what is wrong with a whole request head; "" if all programs read it alike.

    Python's own parser reads much that others read differently, or not at all: white space of
    every kind between the words, lines that are continued, that end in a lone CR or have no
    name, control characters. A proxy in front may have let that pass for something else. Lines
    that end in a lone LF, as people type them, are let pass as RFC 9112 allows.
    """
    first, *lines = _LINE_END.split(head)[:-2]
    if not _REQUEST_LINE.fullmatch(first):
        return "the request line cannot be understood"
    if not all(_FIELD.fullmatch(line) for line in lines):
        return "a header line cannot be understood"
    return ""


def values(head: bytes, name: bytes) -> list[bytes]:
    """Return the values of all header lines in a request head that have this name, lower case."""
    fields = map(_FIELD.fullmatch, _LINE_END.split(head))
    return [field[2].lstrip(_BLANKS) for field in fields if field and field[1].lower() == name]


def fields(head: bytes) -> list[tuple[str, str]]:
    """Return name and value of all header lines in a request head, in their order."""
    lines = map(_FIELD.fullmatch, _LINE_END.split(head))
    return [
        (each[1].decode("ascii"), each[2].lstrip(_BLANKS).decode("latin-1"))
        for each in lines
        if each
    ]


def body_size(head: bytes) -> int:
    """Return the length of the body that belongs to a whole request head; 0 for none of ours.

    It is told by the one Content-Length of a POST that names nothing else that could count
    (Transfer-Encoding, Expect) and has no line that two programs could read differently.
    """
    head = without_empty_line(head)
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not _POST.fullmatch(first) or not all(map(_FIELD.fullmatch, lines)):
        return 0
    if values(head, b"transfer-encoding") or values(head, b"expect"):
        return 0
    lengths = values(head, b"content-length")
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        return 0
    length = int(lengths[0])
    return length if length <= MAX_BODY else 0
