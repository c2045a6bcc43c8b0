"""Whole stacks of optimised code without frame pointers, through shared libraries."""

from __future__ import annotations

import json
import signal

import pytest

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture
def chain(build_target, start_target):
    """Return a program whose 30 functions alternate between two shared libraries."""
    libraries = [
        build_target(source, "-shared", "-fPIC", "-fomit-frame-pointer", name=f"lib{source}.so")
        for source in ("chain_even.c", "chain_odd.c")
    ]
    program = build_target(
        "chain.c", *map(str, libraries), *(f"-Wl,-rpath,{path.parent}" for path in libraries)
    )
    return start_target(program)


def trace_one_walk(cli, chain, *options):
    """Return the chain's own account of its stack, and the report's only site."""
    trace = cli.start_trace(chain.pid, *options)
    walked = json.loads(chain.ask("walk"))
    trace.send(signal.SIGINT)
    [site] = trace.finish().report["sites"]
    return walked, site


def test_thirty_frames_are_what_the_program_says(cli, chain):
    walked, site = trace_one_walk(cli, chain)

    assert not site["truncated"]
    assert site["function"] == "link29"
    functions = [frame["function"] for frame in site["frames"]]
    assert functions[: len(walked) + 1] == [*(function for function, _ in walked), "main"]
    # Each function knows where it returns to: an address in the frame below its own.
    addresses = [frame["address"] for frame in site["frames"]]
    assert addresses[1 : len(walked) + 1] == [address for _, address in walked]


def test_a_stack_deeper_than_the_slice_is_truncated_not_guessed(cli, chain):
    walked, site = trace_one_walk(cli, chain, "--stack-bytes", 1024)

    assert site["truncated"]
    functions = [frame["function"] for frame in site["frames"]]
    assert 3 < len(functions) < len(walked)
    assert functions == [function for function, _ in walked[: len(functions)]]


def test_no_more_frames_than_asked_for(cli, chain):
    walked, site = trace_one_walk(cli, chain, "--max-frames", 5)

    assert site["truncated"]
    assert [frame["function"] for frame in site["frames"]] == [name for name, _ in walked[:5]]
