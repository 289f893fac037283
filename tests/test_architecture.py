"""The layout that the design promises: who may import whom, and how long a function may be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "doorbelld"
LONGEST = 40
"""Lines of a function."""

IMPORTS = {
    # What starts everything may know everything.
    "doorbelld.__main__": "main",
    "doorbelld.main": (
        "doorbelld commands config daemon handover keptpair log ports process settings systemd"
        " wiring"
    ),
    "doorbelld.commands": (
        "cameras certificate check config embed_url login owner passwd reach settings status wiring"
    ),
    "doorbelld.daemon": (
        "doorbelld announce assets broadcast capture config embedding handover httpd interfaces"
        " keptpair listeners login ports process room settings systemd wakeup wiring"
    ),
    "doorbelld.wiring": "access camera capture config keptpair login settings tls",
    # The commands.
    "doorbelld.certificate": "interfaces mdns names owner tls",
    "doorbelld.passwd": "secretfile password",
    "doorbelld.embed_url": "embedding secretfile",
    "doorbelld.check": "camera config fault jpeg owner settings",
    "doorbelld.cameras": "camera camera.devices camera.formats camera.picamera camera.picamera2",
    "doorbelld.status": "access holder mdns qr reach",
    "doorbelld.reach": "access interfaces",
    "doorbelld.qr": "jpeg",
    "doorbelld.config": "files settings",
    # The way of a request.
    "doorbelld.httpd": (
        "accept access assets broadcast connection embedding framing gate handler headers login"
        " refusals seldom"
    ),
    "doorbelld.handler": "doorbelld assets doorstep embedding exchange gate multipart",
    "doorbelld.doorstep": "cookies embedding exchange gate login multipart",
    "doorbelld.login": "backoff cookies password secret secretfile",
    "doorbelld.embedding": "secretfile",
    "doorbelld.secret": "cookies password",
    "doorbelld.exchange": "connection embedding framing gate headers httpd",
    "doorbelld.gate": "access advice forwarded names",
    "doorbelld.access": "interfaces names",
    "doorbelld.accept": "connection framing handshakes loop names seldom waiting",
    "doorbelld.connection": "framing tls",
    "doorbelld.handshakes": "connection",
    "doorbelld.waiting": "connection",
    "doorbelld.framing": "",
    # The way of a frame. Nothing here knows of HTTP, or of the one who asks.
    "doorbelld.capture": "camera clock fault frame jpeg reporter wakeup",
    "doorbelld.fault": "jpeg",
    "doorbelld.broadcast": "frame handover ledger loop multipart reporter tls viewer",
    "doorbelld.handover": "ledger listeners systemd viewer",
    "doorbelld.ports": "listeners",
    "doorbelld.viewer": "clock frame multipart tls",
    # These know nothing of ours.
    "doorbelld": "",
    "doorbelld.advice": "",
    "doorbelld.announce": "",
    "doorbelld.assets": "",
    "doorbelld.backoff": "budget",
    "doorbelld.budget": "",
    "doorbelld.clock": "",
    "doorbelld.cookies": "",
    "doorbelld.owner": "",
    "doorbelld.password": "",
    "doorbelld.files": "",
    "doorbelld.forwarded": "",
    "doorbelld.frame": "",
    "doorbelld.headers": "",
    "doorbelld.holder": "",
    "doorbelld.interfaces": "",
    "doorbelld.jpeg": "markers room splitter",
    "doorbelld.ledger": "",
    "doorbelld.keptpair": "files secretfile tls",
    "doorbelld.listeners": "holder",
    "doorbelld.log": "",
    "doorbelld.loop": "wakeup",
    "doorbelld.markers": "",
    "doorbelld.mdns": "",
    "doorbelld.multipart": "frame",
    "doorbelld.names": "",
    "doorbelld.refusals": "",
    "doorbelld.room": "",
    "doorbelld.seldom": "",
    "doorbelld.process": "wakeup",
    "doorbelld.reporter": "",
    "doorbelld.secretfile": "owner",
    "doorbelld.settings": "",
    "doorbelld.splitter": "markers",
    "doorbelld.systemd": "",
    "doorbelld.tls": "files",
    "doorbelld.wakeup": "",
    # Cameras know JPEGs and what they share, and nothing of the daemon around them.
    "doorbelld.camera": (
        "camera.devices camera.http camera.mjpeg camera.opencv camera.pattern camera.picamera"
        " camera.picamera2 camera.reoriented"
    ),
    "doorbelld.camera.closing": "camera",
    "doorbelld.camera.devices": "camera",
    "doorbelld.camera.formats": "",
    "doorbelld.camera.http": "camera camera.closing camera.mailbox jpeg seldom",
    "doorbelld.camera.mailbox": "",
    "doorbelld.camera.mjpeg": "camera camera.pace jpeg",
    "doorbelld.camera.opencv": (
        "camera camera.closing camera.devices camera.mailbox camera.pace jpeg"
    ),
    "doorbelld.camera.pace": "",
    "doorbelld.camera.pattern": "camera camera.pace jpeg",
    "doorbelld.camera.picamera": "camera camera.closing camera.mailbox jpeg",
    "doorbelld.camera.picamera2": "camera camera.closing camera.mailbox jpeg",
    "doorbelld.camera.reoriented": "camera jpeg",
}
"""What each module may import of ours: a new arrow is a decision, made here."""

USERS_OF_OPENCV = {"doorbelld.jpeg", "doorbelld.camera.opencv", "doorbelld.camera.pattern"}
HEAVY = {"cv2", "numpy", "picamera", "picamera2", "libcamera"}


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(tree: ast.AST) -> Iterator[str]:
    """Give every module that is imported anywhere in ``tree``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide who imports whom"
            assert node.module
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in inner if name in MODULES]
            yield from found
            if len(found) < len(inner):
                yield node.module


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def on_import(tree: ast.Module) -> Iterator[str]:
    """Give the modules that are imported as soon as the module itself is."""
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imported(node)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            nodes += ast.iter_child_nodes(node)


def named_in_a_call(tree: ast.Module) -> set[str]:
    """Return the texts given to import_module() and the like."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        argument.value
        for call in calls
        if ast.unparse(call.func).rpartition(".")[2] in ("import_module", "__import__")
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def test_every_module_has_its_row() -> None:
    assert set(IMPORTS) == set(MODULES)


def test_readme_says_where_every_module_belongs() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| `doorbelld/` |")[2]
    told = re.findall(r"`(\w+)`", table.partition("| `systemd/`")[0])
    at_the_top = {path.stem for path in PACKAGE.glob("[!_]*.py")}
    assert sorted(told) == sorted(at_the_top)


@pytest.mark.parametrize("module", MODULES)
def test_imports_what_it_may_and_nothing_else(module: str) -> None:
    ours = {name for name in imported(tree_of(module)) if name.partition(".")[0] == "doorbelld"}
    allowed = {
        name if name == "doorbelld" else f"doorbelld.{name}" for name in IMPORTS[module].split()
    }
    assert ours == allowed


def test_only_daemon_and_command_know_the_configuration() -> None:
    of_the_configuration = {"doorbelld.config", "doorbelld.settings"}
    knowing = {name for name in MODULES if of_the_configuration & set(imported(tree_of(name)))}
    assert knowing - {"doorbelld.config"} == {
        "doorbelld.main",
        "doorbelld.commands",
        "doorbelld.daemon",
        "doorbelld.wiring",
        "doorbelld.check",
    }


def test_opencv_is_used_in_few_places() -> None:
    using = {
        module
        for module in MODULES
        if {name.partition(".")[0] for name in imported(tree_of(module))} & {"cv2", "numpy"}
    }
    assert using <= USERS_OF_OPENCV
    assert "doorbelld.jpeg" in using, "the test looks in vain"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_are_loaded_when_they_are_needed_and_not_before(module: str) -> None:
    tree = tree_of(module)
    assert not {name.partition(".")[0] for name in on_import(tree)} & HEAVY
    if module not in USERS_OF_OPENCV:
        assert not named_in_a_call(tree) & {"cv2", "numpy"}


@pytest.mark.parametrize("module", MODULES)
def test_module_says_what_it_is(module: str) -> None:
    said = ast.get_docstring(tree_of(module))
    assert said
    assert said.splitlines()[0].endswith((".", ":")), "its first line is a whole sentence"


@pytest.mark.parametrize("module", MODULES)
def test_every_function_fits_on_a_screen(module: str) -> None:
    functions = [each for each in ast.walk(tree_of(module)) if isinstance(each, ast.FunctionDef)]
    for each in functions:
        assert each.end_lineno is not None
        assert each.end_lineno - each.lineno < LONGEST, each.name
