from __future__ import annotations

import ast
import errno
import os
import re
import socket
import ssl
from http.client import BadStatusLine
from pathlib import Path

import pytest

from doorbelld.drivers.errors import (
    CameraError,
    CameraStuckError,
    Reason,
    explain,
    explain_status,
    reason_of,
)
from tests.support.daemon import ROOT

SOURCES = sorted((ROOT / "doorbelld").rglob("*.py"))


def of_number(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Reason.UNREACHABLE),
        (of_number(errno.ECONNREFUSED), Reason.UNREACHABLE),
        (of_number(errno.ECONNRESET), Reason.UNREACHABLE),
        (of_number(errno.EHOSTUNREACH), Reason.UNREACHABLE),
        (of_number(errno.ENETUNREACH), Reason.UNREACHABLE),
        (of_number(errno.ENETDOWN), Reason.UNREACHABLE),
        (of_number(errno.ETIMEDOUT), Reason.UNREACHABLE),
        (socket.timeout(), Reason.UNREACHABLE),
        (BadStatusLine("SSH"), Reason.SETTINGS),
        (ssl.SSLCertVerificationError("self-signed"), Reason.SETTINGS),
        (of_number(errno.EACCES), Reason.DENIED),
        (of_number(errno.EMFILE), Reason.SOFTWARE),
        (ValueError("port"), Reason.OTHER),
        (ZeroDivisionError(), Reason.OTHER),
    ],
)
def test_network_without_an_answer_has_a_reason(error: Exception, reason: Reason) -> None:
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_code, error.verify_message = 18, "self-signed certificate"
    assert explain(error).reason is reason


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, Reason.LOGIN),
        (403, Reason.DENIED),
        (404, Reason.SETTINGS),
        (500, Reason.OTHER),
        (503, Reason.BUSY),
    ],
)
def test_answer_that_is_none_has_a_reason(status: int, reason: Reason) -> None:
    assert explain_status(status).reason is reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (of_number(errno.ENOENT), Reason.MISSING),
        (of_number(errno.ENODEV), Reason.MISSING),
        (of_number(errno.ENXIO), Reason.MISSING),
        (of_number(errno.EACCES), Reason.DENIED),
        (of_number(errno.EPERM), Reason.DENIED),
        (of_number(errno.EBUSY), Reason.BUSY),
        (of_number(errno.ENOMEM), Reason.SOFTWARE),
        (of_number(errno.EMFILE), Reason.SOFTWARE),
        (of_number(errno.EIO), Reason.OTHER),
        (OSError("without a number"), Reason.OTHER),
        (MemoryError(), Reason.SOFTWARE),
        (ImportError("numpy"), Reason.SOFTWARE),
        (SystemExit(), Reason.OTHER),
        (CameraStuckError("It hangs"), Reason.HANGS),
        (CameraError("It is no camera", Reason.SETTINGS), Reason.SETTINGS),
        (CameraError("It is strange"), Reason.OTHER),
    ],
)
def test_exception_of_any_kind_has_a_reason(error: BaseException, reason: Reason) -> None:
    assert reason_of(error) is reason


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_camera_error_that_is_raised_names_its_reason(path: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "CameraError"
    ]
    assert [ast.unparse(call) for call in calls if len(call.args) != 2] == []


def test_reasons_are_those_in_the_description_of_the_protocol() -> None:
    page = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    table = page.partition("| reason | ")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [each.value for each in Reason]
