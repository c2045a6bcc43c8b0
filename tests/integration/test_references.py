"""What gdbleak's search of memory says of blocks whose truth is known: never lost what is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from support.crew import TORTURE
from support.keeps import IN_DEAD_MEMORY, IN_REGISTERS, Block, start_keeps
from support.libraries import LIBRARIES, find_library
from support.naive_search import References
from support.searching import search

from gdbleak.memory.judgement import State
from gdbleak.recording.reader import Recording
from gdbleak.recording.references import Reached

pytestmark = pytest.mark.usefixtures("needs_ptrace")

ROUNDS = 4 * TORTURE
"""How often all memory is searched while pointers move: 100 times in `make torture`."""
LIBRARIES_OR_NONE = {"glibc": None, **LIBRARIES}

MAY_BE_LOST = {"glibc": {"cleared_holder"}}
"""Kinds of kept blocks that one search of 100 calls lost: what refers to them is freed all the
time, and was free both before and after the looks.
"""
BEGINS_AT_AN_END = {"end_pointer"}
"""Kinds that another block hides which begins where they end: where glibc has no header between."""


def may_be_lost(allocator: str) -> set[str]:
    """Return the kinds of kept blocks that may be called lost."""
    return MAY_BE_LOST.get(allocator, BEGINS_AT_AN_END)


@pytest.fixture(params=LIBRARIES_OR_NONE)
def keeps(request, build_target, start_target, tmp_path):
    """Return the program with the blocks of an allocator, all of them allocated."""
    name = LIBRARIES_OR_NONE[request.param]
    keeps = start_keeps(build_target, start_target, tmp_path, name and find_library(name))
    keeps.go()
    return keeps


@pytest.fixture
def keeps_of_glibc(build_target, start_target, tmp_path):
    """Return the same with the blocks of glibc."""
    keeps = start_keeps(build_target, start_target, tmp_path)
    keeps.go()
    return keeps


def wrongly_lost(states: dict[Block, State], may_be: Iterable[str]) -> Counter[tuple[str, str]]:
    """Return of which kinds blocks are called lost that are kept, unless they may be."""
    return Counter(
        (block.kind, state.name)
        for block, state in states.items()
        if block.label == "kept" and state is not State.HELD and block.kind not in may_be
    )


def test_kept_while_pointers_move(request, keeps):
    """Whatever a look misses because it was moved meanwhile, nothing that is kept is lost."""
    allocator = request.node.callspec.params["keeps"]
    may_be = IN_REGISTERS | may_be_lost(allocator)
    blocks = keeps.labels()
    keeps.stir(True)
    wrong: Counter[tuple[str, str]] = Counter()
    for _ in range(ROUNDS):
        wrong += wrongly_lost(search(keeps.pid, blocks, allocator == "glibc"), may_be)
    keeps.stir(False)
    assert wrong == Counter()
    assert all(count > ROUNDS for count in keeps.moves())
    assert keeps.overwritten(blocks) == []


def test_lost(keeps_of_glibc):
    """Each lost block is found, and whether other lost ones refer to it."""
    keeps = keeps_of_glibc
    blocks = keeps.labels()
    states = search(keeps.pid, blocks)
    references = References(keeps.pid, blocks)
    lost = [block for block in blocks if block.label == "lost"]
    expected = {b: State.LOST_WITH if references.holders(b) else State.LOST for b in lost}
    assert {block: states[block] for block in lost} == expected


def test_hidden(keeps_of_glibc):
    """Whoever hides a pointer is told that its block is lost: the documentation says so."""
    states = search(keeps_of_glibc.pid, keeps_of_glibc.labels())
    seen = Counter(
        (block.kind, state) for block, state in states.items() if block.label == "hidden"
    )
    kinds = {kind for kind, _ in seen}
    assert len(kinds) == 9
    # One of a kind may have its address, or a word that looks like it, in dead memory; and a kind
    # of few blocks may so be found as a whole.
    assert len({kind for kind, state in seen if state is State.LOST}) >= len(kinds) - 1


@pytest.mark.slow
@pytest.mark.parametrize("allocator", LIBRARIES_OR_NONE)
def test_trace(cli, build_target, start_target, tmp_path, allocator):
    """A trace says the same of what it has recorded while pointers move, and knows registers."""
    name = LIBRARIES_OR_NONE[allocator]
    keeps = start_keeps(build_target, start_target, tmp_path, name and find_library(name))
    blocks, states = trace(cli, keeps, tmp_path, "inline", ())
    assert wrongly_lost(states, may_be_lost(allocator)) == Counter()
    lost = {block.kind for block in blocks if block.label == "lost"}
    proved = {b.kind for b, s in states.items() if b.label == "lost" and s is not State.HELD}
    assert proved >= (lost - IN_DEAD_MEMORY if allocator == "glibc" else {"plain", "list", "tree"})


def test_trace_by_breakpoints(cli, build_target, start_target, tmp_path):
    """It does so too where each call is a halt; of some kinds only: that takes its time."""
    keeps = start_keeps(build_target, start_target, tmp_path)
    kinds = ("plain", "ring", "bss_array", "stack", "tls", *sorted(IN_REGISTERS))
    blocks, states = trace(cli, keeps, tmp_path, "breakpoint", kinds)
    assert wrongly_lost(states, ()) == Counter()
    lost = {block for block in blocks if block.label == "lost"}
    assert {b for b in lost if states[b] is State.HELD} == set()


def trace(cli, keeps, tmp_path, probe, kinds) -> tuple[list[Block], dict[Block, State]]:
    """Trace while the program allocates and then stirs; return its blocks, and what is said."""
    path = tmp_path / "recording"
    running = cli.start_trace(
        keeps.pid, *("--duration", 5, "--max-pause", 10_000, "--probe", probe, "--save", path)
    )
    keeps.go(*kinds)
    blocks = keeps.labels()
    keeps.stir(True)
    result = running.finish()
    keeps.stir(False)
    assert result.exit_code in (0, 1), result.stderr
    states = recorded_states(path, blocks)
    assert set(states) == set(blocks), result.report["window"]
    return blocks, states


def recorded_states(path, blocks: Iterable[Block]) -> dict[Block, State]:
    """Return what a recording says of blocks that it has."""
    with Recording(str(path)) as recording:
        found = {
            address: state
            for event in recording.iter_events()
            if isinstance(event, Reached)
            for address, _, state in event.blocks
        }
    return {block: State(found[block.address]) for block in blocks if block.address in found}
