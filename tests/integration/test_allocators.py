"""Whatever a program allocates with, and however that was linked, the counts are the truth."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support.exactness import assert_exact, sum_by_line
from support.libraries import LIBRARIES, find_library

pytestmark = pytest.mark.usefixtures("needs_ptrace")

FLAGS = ("-fno-optimize-sibling-calls",)
TARGETS = Path(__file__).parents[1] / "targets"


@pytest.mark.parametrize("name", LIBRARIES)
def test_preloaded(cli, build_target, start_target, name):
    library = find_library(LIBRARIES[name])
    program = build_target("exact.cpp", *FLAGS)
    target = start_target("env", f"LD_PRELOAD={library}", program)
    assert_exact(cli, target, name.split()[0])


@pytest.mark.parametrize("name", LIBRARIES)
def test_linked(cli, build_target, start_target, name):
    program = build_target("exact.cpp", *FLAGS, find_library(LIBRARIES[name]))
    assert_exact(cli, start_target(program), name.split()[0])


@pytest.mark.parametrize("flag", ["-static", "-static-pie"])
def test_static(cli, build_target, start_target, flag):
    program = build_target("exact.cpp", *FLAGS, flag)
    assert_exact(cli, start_target(program), "glibc in exact")


@pytest.mark.parametrize("kind", ["-DWITH_HEADER", "-DBARE"])
def test_allocator_that_hands_on_to_another(cli, build_target, start_target, kind):
    """Both are watched; what a program does is counted once, at the one it calls."""
    flags = ("-shared", "-fPIC", "-fno-builtin", kind)
    library = build_target("interposer.c", *flags, name="libinterposer.so")
    program = build_target("exact.cpp", *FLAGS)
    assert_exact(cli, start_target("env", f"LD_PRELOAD={library}", program), "libinterposer.so")


@pytest.fixture
def musl_gcc():
    """Return the compiler for musl."""
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed: run .ci/setup test")
    return "musl-gcc"


@pytest.mark.parametrize("flags", [(), ("-static",), ("-static-pie",)], ids=str)
def test_musl(cli, musl_gcc, start_target, tmp_path, flags):
    program = tmp_path / "sites"
    command = [musl_gcc, "-O2", "-g", *flags, "-o", program, TARGETS / "sites.c"]
    subprocess.run(command, check=True)
    assert_exact(cli, start_target(program), "musl")


def test_sizes_from_the_blocks(cli, build_target, start_target):
    """The counts are exact, the sizes rounded up, and a call of malloc has one halt less."""
    target = start_target(build_target("exact.cpp", *FLAGS))
    stops = []
    for options in ((), ("--usable-sizes",)):
        trace = cli.start_trace(target.pid, *options)
        truth = json.loads(target.ask("go"))
        trace.send(signal.SIGINT)
        report = trace.finish().report
        stops.append(report["window"]["stops"])
        actual = sum_by_line(report)
        for site in truth:
            counts = actual.pop(site["line"])
            for key in ("allocated_count", "freed_count", "outstanding_count"):
                assert counts[key] == site[key]
            rounded = 16 * counts["outstanding_count"]
            assert 0 <= counts["outstanding_bytes"] - site["outstanding_bytes"] <= rounded
        assert actual == {}
        assert (report["window"]["missed_frees"], report["window"]["lost_events"]) == (0, 0)
    plain = sum(site["allocated_count"] for site in truth if site["site"] in PLAIN)
    assert stops[0] - stops[1] >= plain  # realloc calls malloc too
    assert "glibc reserved" in report["notes"][0]


PLAIN = ("malloc", "calloc", "new", "strdup")
"""Sites of the program whose function takes only a size."""
