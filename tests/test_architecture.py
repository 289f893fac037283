"""The layout of the code: which package may import which, and how long a function may be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "doorbelld"
MAX_LINES = 40
"""Lines of a function."""

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def levels(page: str) -> list[list[str]]:
    """Return the block of packages and top-level modules, line by line, from above."""
    block = page.partition("## Packages")[2].partition("| package |")[0]
    return [
        ["__main__"],
        *(line.split() for line in re.findall(r"^    (\w.*)$", block, re.MULTILINE)),
    ]


LEVELS = levels(PAGE)
"""Each may import itself and those on the lines below it."""

ANYONE_MAY_IMPORT = {"doorbelld"}
"""It has the version."""

KNOW_THE_CONFIGURATION = {"cli", "commands", "daemon", "wiring"}
MAX_PACKAGES = 14
MAX_MODULES = 12
"""In a package."""

MAX_AT_THE_TOP = 6

FULLY_TYPED = {"server", "stream", "web"}
"""Packages in which no line is hidden from the type checker."""

USER_OF_OPENCV = "doorbelld.media.codec"
HEAVY = {"cv2", "numpy", "picamera", "picamera2", "libcamera"}


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every module that is imported anywhere in ``tree``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import does not name its package"
            assert node.module
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in inner if name in MODULES]
            yield from found
            if len(found) < len(inner):
                yield node.module


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def on_import(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that are imported when the module itself is imported."""
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imported(node)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            nodes += ast.iter_child_nodes(node)


def named_in_a_call(tree: ast.Module) -> set[str]:
    """Return the strings that are passed to import_module() and __import__()."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        argument.value
        for call in calls
        if ast.unparse(call.func).rpartition(".")[2] in ("import_module", "__import__")
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def level_of(module: str) -> int:
    (level,) = (number for number, each in enumerate(LEVELS) if package_of(module) in each)
    return level


def ours(module: str) -> set[str]:
    """Return the modules of doorbelld that a module imports, when loaded or later."""
    found = {name for name in imported(tree_of(module)) if name.partition(".")[0] == "doorbelld"}
    return found - ANYONE_MAY_IMPORT


def test_every_package_has_its_level() -> None:
    packages = {package_of(module) for module in MODULES} - {"doorbelld"}
    named = [name for level in LEVELS for name in level]
    assert sorted(named) == sorted(packages)


@pytest.mark.parametrize("module", MODULES)
def test_imports_from_below_and_nothing_else(module: str) -> None:
    if module == "doorbelld":
        assert not ours(module)
        return
    for name in ours(module):
        if package_of(module) == package_of(name):
            continue
        assert level_of(module) < level_of(name), f"{module} imports {name}"


def test_stream_knows_of_what_outlives_the_process_only_plain_records() -> None:
    shared = {
        name
        for module in MODULES
        if package_of(module) == "stream"
        for name in ours(module)
        if package_of(name) == "net"
    }
    assert shared == {"doorbelld.net.tls", "doorbelld.net.viewerrecord"}


def test_no_modules_import_each_other() -> None:
    left = {module: ours(module) for module in MODULES}
    while leaves := {module for module, names in left.items() if not names & left.keys()}:
        left = {module: names for module, names in left.items() if module not in leaves}
    while tops := left.keys() - set().union(*left.values()):  # they import the cycle
        left = {module: names for module, names in left.items() if module not in tops}
    assert not left


def test_packages_are_few_and_small() -> None:
    folders = [path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    assert len(folders) <= MAX_PACKAGES
    for folder in folders:
        assert len(list(folder.glob("[!_]*.py"))) <= MAX_MODULES, folder.name
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_AT_THE_TOP


def test_every_package_is_installed() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r'^    "(doorbelld[.\w]*)",$', text, re.MULTILINE)
    folders = [path.parent for path in PACKAGE.rglob("__init__.py")]
    assert named == sorted(".".join(path.relative_to(ROOT).parts) for path in folders)


def test_packages_export_no_names() -> None:
    for path in PACKAGE.glob("*/__init__.py"):
        statements = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(statements) == 1, f"{path.parent.name}: a docstring and nothing else"


def test_page_on_the_architecture_describes_every_package() -> None:
    described = re.findall(r"^\| `doorbelld/(\w+)(?:/|\.py)` \|", PAGE, re.MULTILINE)
    assert described == [name for level in LEVELS[1:] for name in level]


def test_page_on_the_architecture_names_files_that_exist() -> None:
    named = re.findall(r"`((?:\w+/)+[\w.]+)`", PAGE)
    assert len(named) > 20
    for name in named:
        assert (PACKAGE / name).exists() or (ROOT / name).exists(), name


def test_page_on_the_architecture_fits_on_two_pages() -> None:
    assert len(PAGE.splitlines()) <= 170


def test_readme_names_every_package() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| `doorbelld/` |")[2]
    named = re.findall(r"`(\w+)/`", table.partition("| `systemd/`")[0])
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(named) == sorted([*folders, "static"])


def test_only_the_top_knows_the_configuration() -> None:
    knowing = {
        package_of(module)
        for module in MODULES
        if package_of(module) != "config"
        and any(package_of(each) == "config" for each in ours(module))
    }
    assert knowing == KNOW_THE_CONFIGURATION


def test_opencv_is_loaded_in_one_place() -> None:
    using = {
        module
        for module in MODULES
        if {name.partition(".")[0] for name in imported(tree_of(module))} & {"cv2", "numpy"}
    }
    assert using == {USER_OF_OPENCV}


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_are_loaded_only_when_they_are_needed(module: str) -> None:
    tree = tree_of(module)
    assert not {name.partition(".")[0] for name in on_import(tree)} & HEAVY
    if module != USER_OF_OPENCV:
        assert not named_in_a_call(tree) & {"cv2", "numpy"}


def test_no_type_is_ignored_where_all_can_be_known() -> None:
    modules = [path for name, path in MODULES.items() if package_of(name) in FULLY_TYPED]
    assert modules
    assert not [path for path in modules if "type: ignore" in path.read_text(encoding="utf-8")]


def test_only_the_configuration_knows_the_word_none() -> None:
    knowing = {
        module
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Constant) and node.value == "none"
    }
    # To the camera's errors it means another thing: the reason that there is no camera at all.
    assert knowing - {"doorbelld.drivers.errors"} == {"doorbelld.config.values"}


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_docstring(module: str) -> None:
    docstring = ast.get_docstring(tree_of(module))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":")), "its first line is not a whole sentence"


@pytest.mark.parametrize("module", MODULES)
def test_every_function_fits_on_a_screen(module: str) -> None:
    functions = [each for each in ast.walk(tree_of(module)) if isinstance(each, ast.FunctionDef)]
    for each in functions:
        assert each.end_lineno is not None
        assert each.end_lineno - each.lineno < MAX_LINES, each.name
