"""Who made the anonymous segments that pmap shows: the program, not its allocator."""

from __future__ import annotations

import signal

import pytest
from support.libraries import find_library

pytestmark = pytest.mark.usefixtures("needs_ptrace")

MIB = 1 << 20
TRUTH = {
    ("map_segments", "mapping"): (3, 0, 24 * MIB),
    ("map_large_and_cut", "mapping"): (1, 0, 40 * MIB),
    ("map_and_grow", "mapping"): (1, 0, 4 * MIB),
    ("map_and_unmap", "mapping"): (1, 1, 0),
    ("map_file", "file mapping"): (1, 0, 4096),
    ("move_break", "mapping"): (1, 0, 2 * MIB),
}
FUNCTIONS = {function for function, _ in TRUTH} | {
    "let_a_new_thread_free",
    "load",
    "map_in_vain",
    "free_first",
}


def trace_round(cli, target, *options):
    """Return what became of each mapping, and the report."""
    trace = cli.start_trace(target.pid, *options)
    assert target.ask("go") == "done"
    trace.send(signal.SIGINT)
    report = trace.finish().report
    assert report["verification"]["ok"] is True
    found = {}
    for site in report["sites"]:
        if site["kind"] != "heap":
            user = next(f["function"] for f in site["frames"] if f["function"] in FUNCTIONS)
            keys = ("allocated_count", "freed_count", "outstanding_bytes")
            found[user, site["kind"]] = tuple(site[key] for key in keys)
    return found, report


@pytest.fixture
def program(build_target):
    return build_target("mappings.c", "-fno-optimize-sibling-calls")


@pytest.mark.parametrize("allocator", ["libc", "libjemalloc.so.2", "libtcmalloc.so.4"])
def test_mappings_of_the_program(cli, program, start_target, allocator):
    preload = [] if allocator == "libc" else [f"LD_PRELOAD={find_library(allocator)}"]
    target = start_target("env", *preload, program)
    found, report = trace_round(cli, target, "--mappings")
    stack_of_thread = found.pop(("let_a_new_thread_free", "mapping"))
    assert stack_of_thread[:2] == (1, 0)
    assert found == TRUTH
    assert "," not in report["target"]["allocator"]
    [load] = [site for site in report["sites"] if site["function"] == "load"]
    assert (load["kind"], load["allocated_count"], load["freed_count"]) == ("heap", 20, 20)
    assert (report["window"]["missed_frees"], report["window"]["lost_events"]) == (0, 0)


def test_without_the_option(cli, program, start_target):
    assert trace_round(cli, start_target(program))[0] == {}
