"""Who may import whom: each package those below it, and what computes reports no process."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gdbleak"

IMPORTED_BY_VISITS = "gdbleak_kernel", "gdbleak_words"
"""Scripts beside `gdbleak_visit.py`, which do without GDB."""
FLOORS = [
    "cli",
    "commands",
    "remote",
    "api",
    "tracing",
    "follow",
    "renderers preflight",
    "capture",
    "injection census",
    "safety survey",
    "inline",
    "plan",
    "debugger",
    "target",
    "analysis",
    "unwinding",
    "verdicts",
    "ledger",
    "report heap memory",
    "recording",
    "elf architectures",
    "host",
    "text bounds effort readable",
    "errors",
]
"""From the top; a module imports from its own package, and from floors below its own."""

ENTRIES = {"__init__", "__main__"}

PURE = {
    *("analysis", "unwinding", "verdicts", "ledger", "report", "heap", "recording", "renderers"),
    *("elf", "architectures", "text", "memory"),
}
"""They need neither GDB nor a process."""
FORBIDDEN = {
    *("gdbleak.target", "gdbleak.debugger", "gdbleak.plan", "gdbleak.safety", "gdbleak.survey"),
    *("gdbleak.capture", "gdbleak.preflight", "gdbleak.follow", "gdbleak.api", "gdbleak.remote"),
    *("gdbleak.tracing", "gdbleak.commands", "pygdbmi", "psutil", "subprocess"),
}
"""What they do not import."""

MAX_FILES = 10
"""Directly in gdbleak/."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def floor_of(part):
    return next(number for number, floor in enumerate(FLOORS) if part in floor.split())


def part_of(module):
    """Return the package, or file directly in gdbleak/, that a module of ours is in."""
    return module.split(".")[1]


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path):
    """Yield the name of every module a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from gdbleak.commands import trace` imports a module, and so may `from gdbleak`.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(module, packages):
    return any(module == package or module.startswith(package + ".") for package in packages)


def test_every_part_has_a_floor():
    parts = {path.stem for path in PACKAGE.glob("*.py")} - ENTRIES
    parts |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts == {part for floor in FLOORS for part in floor.split()}


def test_few_files_lie_outside_the_packages():
    assert len([*PACKAGE.glob("*.py")]) <= MAX_FILES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path):
    own = part_of(name_of(path))
    if own in ENTRIES:
        return
    others = {part_of(name) for name in imports(path) if name.startswith("gdbleak.")}
    others -= {own, "__version__"}
    assert {other for other in others if floor_of(other) <= floor_of(own)} == set()


def test_no_module_imports_itself_by_way_of_others():
    """Not even late: whoever reads one of a circle has to read them all."""
    names = {name_of(path).removesuffix(".__init__"): path for path in MODULES}
    entries = {"gdbleak", "gdbleak.__main__"}
    left = {
        name: {found for each in imports(path) if (found := home_of(each, names)) != name}
        for name, path in names.items()
        if name not in entries
    }
    while free := {name for name, needed in left.items() if not needed & left.keys()}:
        left = {name: needed for name, needed in left.items() if name not in free}
    assert left == {}


def home_of(imported, names):
    """Return the module that holds what is imported: itself, or a name in it."""
    return imported if imported in names else imported.rpartition(".")[0]


@pytest.mark.parametrize(
    "path", [path for path in MODULES if part_of(name_of(path)) in PURE], ids=name_of
)
def test_pure_module(path):
    assert [name for name in imports(path) if is_in(name, FORBIDDEN)] == []


def test_only_the_scripts_of_gdb_import_gdb():
    files = [path for path in MODULES if "gdbscripts" not in path.parts]
    assert files
    assert [path for path in files if is_in("gdb", set(imports(path)))] == []


def test_scripts_of_gdb_import_the_standard_library_alone():
    scripts = sorted((ROOT / "gdbscripts").glob("*.py"))
    assert scripts
    for script in scripts:
        names = {name.split(".")[0] for name in imports(script)}
        # What the standalone driver imports beside it, it is written into one file with.
        names -= {"gdbleak_recorder", "gdbleak_box", "gdbleak_plans", *IMPORTED_BY_VISITS}
        assert names - {"gdb"} <= sys.stdlib_module_names | {"__future__"}, script
        assert "gdb" in names or script.stem in ("gdbleak_box", *IMPORTED_BY_VISITS)


def test_only_the_debugger_uses_the_machine_interface():
    users = {
        path.parent.name
        for path in MODULES
        if any(is_in(name, ["pygdbmi"]) for name in imports(path))
    }
    assert users == {"debugger"}
