"""Whole stacks of one program, compiled in many ways and interrupted in many places.

The program knows its own chain of functions, and each frame is compared.
"""

from __future__ import annotations

import json
import signal

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

NO_TABLES = ["-g0", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
DEBUG_FRAME = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
FRAME_POINTERS = "-fno-omit-frame-pointer"

FLAGS = {
    "O0": ["-O0"],
    "O2": ["-O2"],
    "O3": ["-O3"],
    "Os": ["-Os"],
    "frame pointers": ["-O2", FRAME_POINTERS],
    "cf-protection": ["-O2", "-fcf-protection=full", "-Wl,-z,ibtplt"],
    "no PIE": ["-O2", "-fno-pie", "-no-pie"],
    "no header": ["-O2", "-Wl,--no-eh-frame-hdr"],
    "debug_frame": ["-O2", *DEBUG_FRAME],
    "debug_frame, O0": ["-O0", *DEBUG_FRAME],
    "debug_frame, compressed": ["-O3", "-gz", *DEBUG_FRAME],
    "debug_frame, 64-bit": ["-O2", "-gdwarf64", *DEBUG_FRAME],
    "no tables, O0": ["-O0", *NO_TABLES],
    "no tables, O1": ["-O1", *NO_TABLES],
    "no tables, O2": ["-O2", *NO_TABLES],
    "no tables, O3": ["-O3", *NO_TABLES],
    "no tables, Os": ["-Os", *NO_TABLES],
    "no tables, stripped": ["-O2", "-s", *NO_TABLES],
    "no tables, frame pointers": ["-O2", FRAME_POINTERS, *NO_TABLES],
    "no tables, cf-protection": ["-O2", "-fcf-protection=full", "-Wl,-z,ibtplt", *NO_TABLES],
    "no tables, stack protector": ["-O2", "-fstack-protector-all", *NO_TABLES],
}
WAYS = ["chain", "coroutine", "callback", "signal", "plt", "vdso"]


@pytest.fixture
def start_ways(build_target, start_target):
    """Return a function that starts the program, compiled with some flags."""

    def start(*flags):
        always = ["-fno-optimize-sibling-calls", "-Wl,-z,lazy"]
        return start_target(build_target("unwind_ways.c", *flags, *always))

    return start


def trace_ways(cli, target, ways, *options):
    """Return for each way what the program knows of its stack, and the site of its block."""
    # What the kernel puts on the stack for a signal takes some thousand bytes of them.
    options = options or ("--stack-bytes", "32k")
    trace = cli.start_trace(target.pid, *options)
    known = [json.loads(target.ask(way)) for way in ways]
    trace.send(signal.SIGINT)
    sites = {site["allocated_bytes"]: site for site in trace.finish().report["sites"]}
    return [(way, known[i], sites[1001 + i]) for i, way in enumerate(ways)]


def addresses_of(site):
    """Return the addresses of a stack without the first, which the program does not know."""
    return [frame["address"] for frame in site["frames"] if not frame["inlined"]][1:]


def assert_all_frames(way, known, site):
    """Assert that each known frame is there, and between them only those of libraries."""
    rest = addresses_of(site)
    gap = 0
    for address in known:
        if address is None:
            gap = 5  # frames of the C library, at most
            continue
        begin = rest.index(address) if address in rest else len(rest)
        assert begin <= gap, f"{way}: {address} is missing, or frames before it are too many"
        rest, gap = rest[begin + 1 :], 0
    assert not site["truncated"], way
    assert len(rest) <= 3, f"{way}: what calls main has three frames at most"
    assert site["frames"][-1]["function"] in ("_start", "__start_context", None), way


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_every_frame_is_found(cli, start_ways, flags):
    for way, known, site in trace_ways(cli, start_ways(*flags), WAYS):
        assert len(known) >= 14
        assert_all_frames(way, known, site)


@pytest.mark.parametrize("flags", [["-O2"], ["-O2", *NO_TABLES]], ids=["tables", "no tables"])
def test_on_another_stack_only_the_handler_is_known(cli, start_ways, flags):
    [(_, known, site)] = trace_ways(cli, start_ways(*flags), ["other stack"])
    assert site["truncated"]
    # The last three are on the stack that was interrupted.
    assert addresses_of(site) == known[:-3]


@pytest.mark.parametrize("flags", [["-O2"], ["-O2", *NO_TABLES]], ids=["tables", "no tables"])
def test_five_hundred_frames(cli, start_ways, flags):
    options = ["--max-frames", 600, "--stack-bytes", "256k"]
    [(way, known, site)] = trace_ways(cli, start_ways(*flags), ["deep"], *options)
    assert len(known) > 500
    assert_all_frames(way, known, site)
