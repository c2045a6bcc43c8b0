"""Who may import whom: what computes reports needs neither GDB nor a process."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gdbleak"
PURE = [
    "blocks",
    "calls",
    "own_calls",
    "glibc_arena",
    "glibc_chunk",
    "glibc_heap",
    "glibc_lists",
    "glibc_tcache",
    "snapshot",
    "ledger",
    "mapping_ledger",
    "replay",
    "allocators",
    "architectures",
    "code_walk",
    "plan",
    "growing",
    "recording",
    "stacks",
    "cfi",
    "debug_frame",
    "stack_height",
    "unwind_sources",
    "dwarf_expressions",
    "callers",
    "names",
    "rust_names",
    "analysis",
    "allocator_mappings",
    "diff",
    "facts",
    "grouping",
    "history",
    "suppressions",
    "report_reader",
    "runtimes",
    "trend",
    "outlook",
    "sites",
    "survival",
    "tally",
    "turnover",
    "verdicts",
    "report",
    "selection",
    "rates",
    "cost",
    "container_names",
    "halting",
    "units",
    "sparkline",
    "follow.event_lines",
    "text",
    *(f"renderers.{path.stem}" for path in (PACKAGE / "renderers").glob("*.py")),
]
FORBIDDEN = ("pygdbmi", "subprocess", "gdbleak.capture", "gdbleak.commands", "gdbleak.symbols")


def imports(path):
    """Yield the name of every module a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            # `from gdbleak.commands import trace` imports a module too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(module):
    """Return the file of a module of the package, or None for anything else."""
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if module.startswith("gdbleak.") and candidate.exists():
            return candidate
    return None


def reachable(module):
    """Return every module that is imported once `module` is, with the way there."""
    ways = {module: module}
    todo = [module]
    while todo:
        name = todo.pop()
        path = file_of(name)
        for imported in imports(path) if path else ():
            if imported not in ways:
                ways[imported] = f"{ways[name]} > {imported}"
                todo.append(imported)
    return ways


def is_in(module, packages):
    return any(module == package or module.startswith(package + ".") for package in packages)


def test_the_walk_sees_what_is_forbidden():
    found = reachable("gdbleak.api")
    assert {name for name in FORBIDDEN if any(is_in(module, [name]) for module in found)} == {
        "pygdbmi",
        "subprocess",
        "gdbleak.capture",
        "gdbleak.symbols",
    }


@pytest.mark.parametrize("module", PURE)
def test_pure_module(module):
    assert file_of(f"gdbleak.{module}")
    ways = reachable(f"gdbleak.{module}")
    assert [way for name, way in ways.items() if is_in(name, FORBIDDEN)] == []


def test_only_the_scripts_of_gdb_import_gdb():
    files = [path for path in PACKAGE.rglob("*.py") if "gdbscripts" not in path.parts]
    assert files
    assert [path for path in files if is_in("gdb", set(imports(path)))] == []


def test_scripts_of_gdb_import_the_standard_library_alone():
    scripts = sorted((ROOT / "gdbscripts").glob("*.py"))
    assert scripts
    for script in scripts:
        names = {name.split(".")[0] for name in imports(script)}
        # What the standalone driver imports beside it, it is written into one file with.
        names -= {"gdbleak_agent", "gdbleak_box", "gdbleak_plans"}
        assert names - {"gdb"} <= sys.stdlib_module_names | {"__future__"}, script
        assert "gdb" in names or script.name == "gdbleak_box.py"


def test_only_the_capture_uses_the_machine_interface():
    users = {
        path.parent.name
        for path in PACKAGE.rglob("*.py")
        if any(is_in(name, ["pygdbmi"]) for name in imports(path))
    }
    assert users == {"capture"}
