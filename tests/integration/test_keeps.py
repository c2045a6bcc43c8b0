"""The program that says which blocks are lost is right: what it says is seen in its memory."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from functools import partial

import pytest
from support.keeps import FOLDER, IN_DEAD_MEMORY, IN_REGISTERS, MOVED, PORTABLE, Keeps, start_keeps
from support.libraries import LIBRARIES, find_library
from support.naive_search import References
from support.processes import wait_until

pytestmark = pytest.mark.usefixtures("needs_ptrace")

FEWER = {
    "large": 5,
    "pthread_key": 6,
    "ended_key": 6,
    "register_spinning": 8,
    "register_blocked": 8,
}
"""Kinds of which there are fewer than twelve blocks."""


@pytest.fixture
def keeps(build_target, start_target, tmp_path):
    """Return the program with the blocks of glibc, all of them allocated."""
    keeps = start_keeps(build_target, start_target, tmp_path)
    keeps.go()
    return keeps


def test_ways(keeps):
    """There are many ways of each, and many blocks of each way."""
    counts = Counter((block.label, block.kind) for block in keeps.labels())
    ways = Counter(label for label, _ in counts)
    assert ways["kept"] >= 55
    assert ways["lost"] >= 25
    assert (ways["hidden"], ways["stale"]) == (9, 4)
    few = {kind: count for (_, kind), count in counts.items() if count < 12}
    assert few == FEWER


def test_memory_agrees(keeps):
    """Something refers to what is kept, nothing to what is lost or hidden."""
    blocks = keeps.labels()
    reached = References(keeps.pid, blocks).reached()
    seen = Counter((block.label, block.kind, block in reached) for block in blocks)
    assert wrongly_seen(seen) == []
    assert keeps.overwritten(blocks) == []


def wrongly_seen(seen: Counter[tuple[str, str, bool]]) -> list[tuple[str, str, int]]:
    """Return the label and kind of blocks that memory says something else about, and how many."""
    wrong = []
    for (label, kind, is_reached), count in seen.items():
        is_expected = label == "kept" and kind not in IN_REGISTERS
        if label != "stale" and kind not in IN_DEAD_MEMORY and is_reached != is_expected:
            wrong.append((label, kind, count))
    return wrong


def test_stale(keeps):
    """What is called stale is still referred to, and so is what dead memory refers to."""
    references = References(keeps.pid, keeps.labels())
    referred = {(block.label, block.kind) for block, words in references.of.items() if words}
    stale = {("stale", kind) for kind in ("cached_stack", "live_frame", "unwritten", "older_lost")}
    assert referred >= stale | {("lost", kind) for kind in IN_DEAD_MEMORY}


def test_stir(keeps):
    """Pointers move for as long as they are told to, and rest where they are seen."""
    blocks = keeps.labels()
    moved = [block for block in blocks if block.kind in MOVED]
    for _ in range(5):
        before = keeps.moves()
        keeps.stir(True)
        wait_until(partial(have_moved, keeps, before), "every thread had moved something")
        keeps.stir(False)
        rest = keeps.moves()
        assert set(moved) <= set(References(keeps.pid, blocks).reached())
        assert keeps.moves() == rest
    assert keeps.overwritten(blocks) == []


def have_moved(keeps: Keeps, before: tuple[int, ...]) -> bool:
    """Return whether every thread has moved something since."""
    return all(now > then for now, then in zip(keeps.moves(), before))


@pytest.mark.parametrize("name", LIBRARIES)
def test_other_allocators(build_target, start_target, tmp_path, name):
    """What is kept is referred to with any of them; where a block ends another may begin."""
    keeps = start_keeps(build_target, start_target, tmp_path, find_library(LIBRARIES[name]))
    keeps.go()
    blocks = keeps.labels()
    reached = References(keeps.pid, blocks).reached()
    unseen = {block.kind for block in blocks if block.label == "kept" and block not in reached}
    assert unseen <= {*IN_REGISTERS, "end_pointer"}
    assert keeps.overwritten(blocks) == []


def test_musl(start_target, tmp_path):
    """What needs neither the C++ library nor glibc runs with musl."""
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed: run .ci/setup test")
    program = tmp_path / "keeps"
    flags = ("-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics")
    sources = [FOLDER / f"{part}.cpp" for part in PORTABLE]
    command = ["musl-gcc", "-x", "c++", "-O2", "-g", *flags, "-o", program, *sources]
    subprocess.run(command, check=True)
    keeps = Keeps(start_target(program, tmp_path))
    keeps.go()
    blocks = keeps.labels()
    reached = References(keeps.pid, blocks).reached()
    seen = Counter((block.label, block.kind, block in reached) for block in blocks)
    assert wrongly_seen(seen) == []
    assert keeps.overwritten(blocks) == []
