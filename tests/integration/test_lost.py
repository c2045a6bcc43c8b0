"""Lost blocks of real programs: what nothing refers to, and what something does, in many ways.

LeakSanitizer looks at the same programs, from within: what it finds is found, and where it is wrong
about memory that is mapped, it is not followed.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from support.cores import write_by_gdb
from support.processes import TRACER

from gdbleak.census.examine import Examination
from gdbleak.census.wish import HeapWish, LostWish
from gdbleak.elf.cache import ImageCache
from gdbleak.report.heap import MappingKind
from gdbleak.target.core import Core
from gdbleak.target.examined import ExaminedProcess

pytestmark = pytest.mark.usefixtures("needs_ptrace")

SUMMARY = re.compile(r"SUMMARY: LeakSanitizer: (\d+) byte\(s\) leaked in (\d+) allocation")
CELL = 1000
TAKEN = 1008
"""Bytes that a block of the target takes, and that it asks for."""


class Tree(NamedTuple):
    """What is expected of trees that look alike."""

    size: int
    is_cycle: bool
    trees: int
    blocks: int
    what: str | None = None


LOST = {
    "single": [Tree(CELL, False, 5, 5)],
    "chain": [Tree(CELL, False, 1, 5)],
    "ring": [Tree(CELL, True, 1, 5)],
    "both_ways": [Tree(CELL, True, 1, 5)],
    "shared_child": [Tree(CELL, False, 1, 2), Tree(CELL, False, 1, 1)],
    "ring_below": [Tree(CELL, False, 1, 3)],
    "counted": [Tree(1032, True, 5, 10, "std::make_shared<(anonymous namespace)::Counted>")],
    "objects": [Tree(1016, False, 5, 5, "(anonymous namespace)::Widget<int>")],
    "standard_map": [Tree(56, True, 1, 101)],
    "standard_list": [Tree(24, True, 1, 101)],
    "in_freed": [Tree(CELL, False, 1, 1)],
    "ended_thread": [Tree(CELL, False, 2, 2)],
    "argument": [Tree(CELL, False, 1, 1)],
}
HELD = ["variable", "inner", "key_of_threads", "own_variable", "stack", "registered", "nothing"]
MAPPED = ["anonymous", "shared", "of_file", "read_only", "hidden", "given_stack"]
HELD_UNSEEN = ["behind", "tagged", "not_joined", *MAPPED]
"""LeakSanitizer takes these for lost: by their end, by a tag, by a thread that nobody has joined,
and by memory that is mapped."""


@pytest.fixture
def shapes(build_target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the targets make files
    return build_target("lost/shapes.cpp")


@pytest.fixture
def sanitized(build_target):
    return build_target("lost/shapes.cpp", "-fsanitize=leak", name="sanitized")


def look(pid, **options):
    with ImageCache() as images, ExaminedProcess(pid, images) as process:
        wish = HeapWish(lost=LostWish(**options))
        found = Examination(process, images, wish).run().lost
        assert found is not None
        return found


def ask_sanitizer(program, way):
    """Return how many blocks LeakSanitizer finds, and their bytes."""
    pipe = subprocess.PIPE
    with subprocess.Popen([program, way], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.kill()
        found = SUMMARY.search(process.stderr.read())
    return (int(found[2]), int(found[1])) if found else (0, 0)


def rows(lost):
    return [
        Tree(each.size, each.is_cycle, each.trees, each.blocks, each.what) for each in lost.trees
    ]


@pytest.mark.parametrize("way", LOST)
def test_what_is_lost(way, shapes, sanitized, start_target):
    lost = look(start_target(shapes, way).pid)
    assert rows(lost) == LOST[way]
    assert lost.total.count == sum(tree.blocks for tree in LOST[way])
    assert lost.total.bytes == sum(tree.bytes for tree in lost.trees)
    count, size = ask_sanitizer(sanitized, way)
    assert lost.total.count == count
    # What a block takes is more than what was asked for, by its header and up to 16 bytes.
    assert size <= lost.total.bytes <= size + 24 * count
    if {tree.size for tree in LOST[way]} == {CELL}:
        assert (size, lost.total.bytes) == (count * CELL, count * TAKEN)


@pytest.mark.parametrize("way", [*HELD, *HELD_UNSEEN])
def test_what_is_held(way, shapes, sanitized, start_target):
    lost = look(start_target(shapes, way).pid)
    assert rows(lost) == []
    assert lost.total.count == lost.total.bytes == 0
    assert ask_sanitizer(sanitized, way)[0] == (way in HELD_UNSEEN)


def test_all_together(shapes, start_target):
    lost = look(start_target(shapes, *HELD, *HELD_UNSEEN, *LOST).pid)
    expected = sum(tree.blocks for trees in LOST.values() for tree in trees)
    assert lost.total.count == expected
    assert sum(tree.blocks for tree in lost.trees) == expected
    assert [tree.bytes for tree in lost.trees] == sorted(
        (tree.bytes for tree in lost.trees), reverse=True
    )


def look_in_core(path):
    with ImageCache() as images, Core(str(path), images) as core:
        return Examination(core, images, HeapWish(lost=LostWish())).run(str(path)).lost


def test_a_core_file_tells_the_same(shapes, start_target, tmp_path):
    target = start_target(shapes, *HELD, *HELD_UNSEEN, *LOST, "lost_mapping", "held_mapping")
    Path(f"/proc/{target.pid}/coredump_filter").write_text("0x7f")
    lost = look(target.pid)
    in_core = look_in_core(write_by_gdb(target, tmp_path / "core"))
    assert (in_core.looks, in_core.notes) == (1, ())
    assert in_core.total == lost.total
    assert in_core.trees == lost.trees
    assert [each.start for each in in_core.mappings] == [each.start for each in lost.mappings]


def test_a_core_file_says_what_it_lacks(shapes, start_target, tmp_path):
    target = start_target(shapes, "of_file")
    lost = look_in_core(write_by_gdb(target, tmp_path / "core"))
    assert lost.total.count == 1
    [note] = lost.notes
    assert f"{tmp_path}/shapes-" in note
    assert "coredump_filter" in note


def test_mappings(shapes, start_target):
    [mapping] = look(start_target(shapes, "lost_mapping", "held_mapping").pid).mappings
    assert mapping.kind is MappingKind.ANONYMOUS
    assert (mapping.size, mapping.permissions) == (8 * 4096, "rw-p")
    assert mapping.resident_bytes == mapping.dirty_bytes == 4096


def test_contents_are_told_only_if_they_are_asked_for(shapes, start_target):
    target = start_target(shapes, "chain")
    assert look(target.pid).trees[0].content is None
    content = look(target.pid, content=True).trees[0].content
    assert content.startswith('"')
    assert content.endswith("0000000000000000")


def test_few_rows(shapes, start_target):
    target = start_target(shapes, *LOST)
    lost = look(target.pid, trees=2)
    assert len(lost.trees) == 2
    assert [note for note in lost.notes if "more kinds of trees" in note]


def test_threads_that_somebody_else_traces(shapes, start_target):
    target = start_target(shapes, "chain", "stack")
    tracer = start_target(*TRACER, str(target.pid))
    lost = look(target.pid)
    tracer.end()
    assert rows(lost) == LOST["chain"]
    [note] = lost.notes
    assert "registers of 1 thread " in note


def test_a_search_that_takes_too_long_finds_nothing(shapes, start_target):
    target = start_target(shapes, "chain")
    lost = look(target.pid, time_s=0.1, scan_rate=1 << 20)
    assert (lost.looks, lost.trees, lost.total.count) == (0, (), 0)
    [note] = lost.notes
    assert "--scan-time" in note


def test_what_moves_is_not_lost(build_target, start_target):
    target = start_target(build_target("lost/movers.cpp"))
    for _ in range(3):
        lost = look(target.pid)
        assert lost.total.count == 100
        assert rows(lost) == [Tree(504, False, 100, 100)]


def test_what_is_handed_over_is_not_lost(build_target, start_target):
    """Blocks are freed all the time, and handed out again with the same content."""
    target = start_target(build_target("lost/hands_over.cpp", "-pthread"))
    assert [look(target.pid).total.count for _ in range(3)] == [0, 0, 0]


def test_what_a_copy_has_in_vector_registers_is_held(build_target, start_target):
    target = start_target(build_target("lost/rotates.c"))
    wish = HeapWish(lost=LostWish(), stop=True, max_pause_ms=60_000)
    for _ in range(5):
        with ImageCache() as images, ExaminedProcess(target.pid, images) as process:
            report = Examination(process, images, wish).run()
        assert (report.lost.looks, report.lost.total.count, report.notes) == (1, 0, ())


def test_classes_without_type_information(build_target, start_target):
    program = build_target("lost/shapes.cpp", "-fno-rtti", name="untyped")
    lost = look(start_target(program, "objects").pid)
    assert rows(lost) == LOST["objects"]
