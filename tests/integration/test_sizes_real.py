"""`gdbleak trace --size`: only blocks of some sizes are recorded, by either probe."""

from __future__ import annotations

import json
import shutil
import signal

import pytest
from support.libraries import find_library

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")

PROBES = ("breakpoint", "inline")
JEMALLOC = "libjemalloc.so.2"


@pytest.fixture
def program(build_target):
    return build_target("sizes.c", "-fno-builtin", "-fno-optimize-sibling-calls")


def trace_round(cli, target, truth, *options):
    """Trace a round of the program, and compare what was recorded with what it says."""
    trace = cli.start_trace(target.pid, "--no-references", *options)
    allocations, frees, alive = map(int, target.ask(f"go {truth}").split())
    trace.send(signal.SIGINT)
    report = trace.finish().report
    window = report["window"]

    assert report["verification"]["ok"] is True
    assert min(allocations, frees, alive) > 3
    assert (window["allocations"], window["frees"]) == (allocations, frees)
    assert sum(site["outstanding_count"] for site in report["sites"]) == alive
    assert window["frees_of_older_blocks"] == 0
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)
    return report


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(
    ("size", "usable", "shown"),
    [("24", "0 24", [0, 24]), ("100", "104 104", [89, 104]), ("60-200", "72 200", [57, 200])],
)
def test_glibc(cli, program, start_target, probe, size, usable, shown):
    target = start_target(program)
    report = trace_round(cli, target, f"{usable} 0", "--size", size, "--probe", probe)
    assert report["window"]["sizes"] == shown


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(("size", "requests"), [("60", "45 60"), ("60-200", "60 200")])
def test_another_allocator(cli, program, start_target, probe, size, requests):
    target = start_target("env", f"LD_PRELOAD={find_library(JEMALLOC)}", program)
    report = trace_round(cli, target, f"{requests} 1", "--size", size, "--probe", probe)
    assert report["window"]["sizes"] == [*map(int, requests.split())]
    assert report["target"]["allocator"].startswith("jemalloc")


def test_a_function_of_the_programs_own(cli, build_target, start_target):
    """Such a block may be given to `free`: so all frees are recorded, and none is missed."""
    target = start_target(build_target("pools.c", "-fno-optimize-sibling-calls"))
    options = ("--size", "8-12", "--alloc", "pool_get:size=2", "--free", "pool_put:ptr=1")
    trace = cli.start_trace(target.pid, "--no-references", *options)
    assert target.ask("go") == "done"
    trace.send(signal.SIGINT)
    report = trace.finish().report
    [site] = report["sites"]
    assert "use_get" in {frame["function"] for frame in site["frames"]}
    assert (site["allocated_count"], site["freed_count"]) == (12, 4)


def test_a_leak_beside_a_hundred_thousand_others(cli, program, start_target, tmp_path):
    target = start_target(program)
    assert target.ask("leak 100000") == "leaking"
    saved = tmp_path / "saved"
    result = cli.run(
        *("trace", target.pid, "--size", 24, "--duration", 3, "--max-pause", 10_000),
        *("--save", saved, "--format", "json"),
    )
    report = result.report
    window = report["window"]
    [site] = report["sites"]
    assert site["function"] == "forget_twenty"
    assert site["verdict"]["word"] == "leak"
    assert site["outstanding_count"] > 50
    assert (window["sampling"], window["inline"]["lost"]) == (None, 0)
    assert window["events"] < 2000
    shown = cli.run("report", saved, "--verbose")
    assert "only blocks of 0 to 24 bytes were recorded (--size)" in " ".join(shown.stdout.split())
    page = cli.run("report", saved, "--format", "html").stdout
    assert "only blocks of 0 to 24 bytes were recorded" in page
    assert cli.run("diff", saved, shutil.copy(saved, tmp_path / "copy")).exit_code == 0
    again = json.loads(cli.run("report", saved, "--format", "json").stdout)
    assert again["window"]["sizes"] == [0, 24]


@pytest.mark.parametrize("size", ["", "x", "40-24", "24-", "99999G"])
def test_sizes_that_make_no_sense(cli, size):
    result = cli.run("trace", 1, "--size", size)
    assert (result.exit_code, "--size" in result.stderr) == (2, True)
