"""Blocks to which only what is easily overlooked refers are not lost."""

from __future__ import annotations

import numpy as np
import pytest
from support.processes import data_of_libc

from gdbleak.follow.known_heap import KnownHeap
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.recording.references import LOST, UNKNOWN
from gdbleak.target.proc import find_data, read_mappings
from gdbleak.target.searched import SearchedProcess

pytestmark = pytest.mark.usefixtures("needs_ptrace")

COUNT, BYTES, KEY = 20, 1500, 0x5555555555555555


@pytest.fixture
def target(build_target, start_target):
    return start_target(build_target("out_of_reach.c"))


@pytest.mark.parametrize("probe", ["breakpoint", "inline"])
@pytest.mark.parametrize("kind", ["protected", "shared", "epoll", "timer", "dropped"])
def test_what_refers_to_blocks(cli, target, kind, probe):
    trace = cli.start_trace(target.pid, "--duration", 3, "--probe", probe, "--older", 0)
    assert target.ask(kind) == "ok"
    result = trace.finish()
    reach = next(
        site["reach"]
        for site in result.report["sites"]
        if "make" in [frame["function"] for frame in site["frames"]]
    )
    held = 0 if kind == "dropped" else COUNT
    assert (reach["looked_at"], reach["unknown"]) == (COUNT, 0)
    # The last one may have left its address in a register.
    assert abs(reach["held"] - held) <= (kind == "dropped")
    assert reach["lost"] == COUNT - reach["held"]


def test_what_was_handed_out_again(target):
    """A block that was freed unseen may lie within a larger one, which says nothing of it."""
    addresses = [int(word, 16) ^ KEY for word in target.ask("reuse").split()]
    assert len(addresses) == COUNT
    blocks = [
        Block(at, BYTES, BYTES, BYTES, 1, None, 1, 0, 0, HEAP, False, False, 0, LOST)
        for at in sorted(addresses)
    ]
    with SearchedProcess(target.pid) as process:
        libc = next(m.path for m in read_mappings(target.pid) if find_is_libc(target.pid, m))
        states = np.full(COUNT, LOST, np.uint8)
        KnownHeap(process, libc).forget_freed(blocks, states)
    assert states.tolist() == [UNKNOWN] * COUNT


def find_is_libc(pid, mapping):
    return find_data(read_mappings(pid), mapping.path) == data_of_libc(pid)
