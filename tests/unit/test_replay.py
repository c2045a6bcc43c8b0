"""Which register means what, for every function of the allocator."""

from __future__ import annotations

import pytest

from gdbleak.allocators import MALLOC_FAMILY
from gdbleak.plan import Probe, Role
from gdbleak.recording import Hit
from gdbleak.replay import Replay

A, B, SP = 0xA0, 0xB0, 0x7000


def replay(name, *calls):
    """Replay calls of a function, each its recorded arguments, its result and what it stored."""
    probes = (
        Probe(0, 0x1000, name, Role.ENTRY, ("rsp", "…"), None, "55"),
        Probe(1, 0x2000, name, Role.RETURN, ("rsp", "rax", "rbp"), None, "c3"),
    )
    replay = Replay(probes, MALLOC_FAMILY, [].append)
    for number, (arguments, result, stored) in enumerate(calls):
        replay.feed(Hit(number, 0, number, 1, (SP, *arguments), 0))
        replay.feed(Hit(number + 1000, 1, number, 1, (SP, result, 0), stored))
    return replay


@pytest.mark.parametrize(
    ("name", "arguments", "result", "stored", "size"),
    [
        # The arguments are those the table of functions declares, in ascending order.
        ("malloc", (10,), A, 0, 10),
        ("calloc", (3, 7), A, 0, 21),
        ("calloc", (0, 7), A, 0, 0),
        ("realloc", (0, 10), A, 0, 10),
        ("reallocarray", (0, 3, 7), A, 0, 21),
        ("posix_memalign", (0x6000, 10), 0, A, 10),
        ("aligned_alloc", (10,), A, 0, 10),
        ("memalign", (10,), A, 0, 10),
        ("valloc", (10,), A, 0, 10),
        ("pvalloc", (10,), A, 0, 10),
    ],
)
def test_requested_size(name, arguments, result, stored, size):
    (block,) = replay(name, (arguments, result, stored)).ledger.outstanding
    assert (block.address, block.size, block.stack) == (A, size, 1000)


def test_every_function_that_allocates_is_in_the_table():
    rows = test_requested_size.pytestmark[0].args[1]
    assert {row[0] for row in rows} == {f.name for f in MALLOC_FAMILY if f.allocates}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # By their manual pages; argument 0 is the first.
        ("malloc", (0,)),
        ("calloc", (0, 1)),
        ("realloc", (0, 1)),
        ("reallocarray", (0, 1, 2)),
        ("posix_memalign", (0, 2)),
        ("aligned_alloc", (1,)),
        ("memalign", (1,)),
        ("valloc", (0,)),
        ("pvalloc", (0,)),
        ("free", (0,)),
        ("cfree", (0,)),
    ],
)
def test_recorded_arguments(name, arguments):
    [function] = (function for function in MALLOC_FAMILY if function.name == name)
    assert function.arguments == arguments


@pytest.mark.parametrize(("name", "resize"), [("realloc", (A, 90)), ("reallocarray", (A, 9, 10))])
def test_resized_block_is_the_first_argument(name, resize):
    first = (0, *resize[1:])
    (block,) = replay(name, (first, A, 0), (resize, B, 0)).ledger.outstanding
    assert (block.address, block.size, block.reallocations) == (B, 90, 1)


@pytest.mark.parametrize("name", ["free", "cfree"])
def test_freed_block_is_the_first_argument(name):
    probes = (Probe(0, 0x1000, name, Role.ENTRY, ("rsp", "rdi"), None, "55"),)
    replay = Replay(probes, MALLOC_FAMILY, [].append)
    replay.feed(Hit(0, 0, 0, 1, (SP, A), 0))
    assert (replay.ledger.frees, replay.events) == (1, 1)


def test_calloc_that_overflows_and_fails_is_no_block():
    result = replay("calloc", ((1 << 63, 4), 0, 0))
    assert (len(result.ledger.outstanding), result.events) == (0, 2)


def test_hit_that_gdb_reports_twice_counts_once():
    probes = [Probe(0, 0, "free", Role.ENTRY, ("rsp", "rdi"), None, "")]
    replay = Replay(probes, MALLOC_FAMILY, [].append)
    for number, (thread, pointer) in enumerate([(1, A), (1, A), (2, A), (1, A + 16)]):
        replay.feed(Hit(number, 0, number, thread, (SP, pointer), 0))
    assert (replay.events, replay.ledger.frees) == (3, 3)
