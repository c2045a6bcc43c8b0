"""python3: no debug information, its functions exported; small objects come from its arenas."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.findings import (
    TARGETS,
    assert_gdb_sees_the_same,
    assert_nothing_lost,
    assert_nothing_stays,
    caller,
    counts,
    find_program,
    find_site,
    is_lost,
    line_of,
    trace_under_load,
    trace_while,
)

pytestmark = pytest.mark.usefixtures("needs_ptrace")

INTERPRETER = ("_PyEval_EvalFrameDefault", "Py_BytesMain", "_start")


@pytest.fixture
def python():
    return find_program("/usr/bin/python3")


@pytest.fixture
def run(python, start_target):
    """Return a started interpreter."""
    return start_target(python, TARGETS / "interpreter.py")


@pytest.fixture
def extension(python, build_target):
    """Return the line that imports what tests/targets/leaky_extension.c becomes."""
    ask = "import sysconfig; print(sysconfig.get_path('include'))"
    told = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    include = Path(told.stdout.strip())
    if not (include / "Python.h").exists():
        pytest.skip("Python.h is not installed: run .ci/setup real")
    flags = ("-shared", "-fPIC", "-I", include)
    folder = build_target("leaky_extension.c", *flags, name="leaky_extension.so").parent
    return f"sys.path.append('{folder}'); import leaky_extension"


def do(target, line):
    """Let the interpreter run a line."""
    assert target.ask(line) == "done"


def test_malloc_through_ctypes(cli, run):
    do(run, "borrow(1)")
    report = trace_while(cli, run.pid, lambda: do(run, "forget(50)"))
    site = report["sites"][0]
    assert counts(site) == (50, 50, 50 * 4331)
    assert Path(site["frames"][0]["module"]).name.startswith("libffi.so.")
    assert find_site(report, "ffi_call", *INTERPRETER) is site

    assert_gdb_sees_the_same(site, run.pid, lambda: run.tell("forget(1)"))
    assert run.lines.next() == "done"


def test_extension_that_leaks(cli, run, extension):
    do(run, extension)
    report = trace_while(cli, run.pid, lambda: do(run, "leaky_extension.forget(50)"))
    site = find_site(report, "forget", *INTERPRETER)
    line = line_of("leaky_extension.c", "the leak")
    assert caller(site) == ("forget", "leaky_extension.c", line)
    assert counts(site) == (50, 50, 50 * 331)

    assert_gdb_sees_the_same(site, run.pid, lambda: run.tell("leaky_extension.forget(1)"))
    assert run.lines.next() == "done"


def test_work_without_a_leak(cli, run, extension):
    do(run, extension)
    work = "work(50); borrow(50); leaky_extension.borrow(50)"
    do(run, work)
    report = trace_while(cli, run.pid, lambda: do(run, work))
    assert_nothing_stays(report, at_least=1000)
    [site] = [site for site in report["sites"] if site["function"] == "borrow"]
    assert counts(site) == (50, 0, 0)


def test_load_loses_nothing(cli, run, extension):
    do(run, extension)
    do(run, "import collections; kept = collections.OrderedDict(); texts = set()")
    keep = "kept[len(kept)] = ['x' * 700 for _ in range(9)]; texts.add(str(len(kept)) * 600)"
    forget = "len(kept) > 2000 and (kept.clear(), texts.clear())"
    serve = f"work(5); {keep}; {forget}; borrow(5); leaky_extension.borrow(5)"
    assert_nothing_lost(cli, run.pid, lambda: do(run, serve))


def test_what_is_lost(cli, run, extension):
    do(run, extension)
    serve = "work(2); forget(2); leaky_extension.forget(2)"
    report = trace_under_load(cli, run.pid, lambda: do(run, serve), "--probe", "inline")
    for name in ("ffi_call", "forget"):
        site = find_site(report, name, *INTERPRETER)
        assert is_lost(site), site["reach"]
        assert site["verdict"]["word"] == "leak"
