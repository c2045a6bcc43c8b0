"""All chunks of a part of a heap: from piece to piece, around holes, while they change."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from heap_memory import START, Memory

from gdbleak.heap import chunks as module
from gdbleak.heap.chunks import iter_chunks
from gdbleak.heap.parts import Part

PIECE = 4096


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(module, "_PIECE_BYTES", PIECE)


def part_to(top, end=None):
    return Part(0, START, START, top + 32 if end is None else end, top)


def gather(read, part, is_still=True):
    """Return all chunks as tuples of address, size, whether used, whether unsettled; and a sum."""
    found, unclear = [], 0
    for piece in iter_chunks(read, part, is_still):
        lists = (piece.chunks, piece.sizes, piece.used, piece.unsettled)
        found += zip(*(each.tolist() for each in lists))
        unclear += piece.unclear_bytes
    return found, unclear


def expected(chunks, sizes, used):
    return [(*each, False) for each in zip(chunks, sizes, used)]


@pytest.mark.parametrize("is_still", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_every_chunk_is_told_once(seed, is_still):
    chance = random.Random(seed)
    most = chance.choice([4, 20, 250, 600, 3000])
    sizes = [16 * chance.randrange(2, most) for _ in range(chance.randrange(1, 400))]
    used = [chance.random() < 0.7 for _ in sizes]
    memory = Memory(sum(sizes) + 64)
    for at in range(START, START + len(memory.data), 8):
        memory.put(at, 0x31)  # what an earlier use has left
    chunks, top = memory.fill(sizes, used)
    assert gather(memory.read, part_to(top), is_still) == (expected(chunks, sizes, used), 0)


@pytest.mark.parametrize("size", [PIECE - 16, PIECE, PIECE + 16, 10 * PIECE])
@pytest.mark.parametrize("is_used", [True, False])
def test_a_chunk_as_large_as_a_piece(size, is_used):
    sizes, used = [48, size, 32, size, 48], [True, is_used, True, is_used, True]
    memory = Memory(sum(sizes) + 64)
    chunks, top = memory.fill(sizes, used)
    assert gather(memory.read, part_to(top)) == (expected(chunks, sizes, used), 0)


def test_an_empty_part():
    assert gather(Memory(64).read, part_to(START)) == ([], 0)


@pytest.mark.parametrize("behind", [0x11, 0x01])
def test_memory_of_somebody_else_between_two_fences(behind):
    """Where other code has moved the break, two chunks that nobody gets end what was there."""
    memory = Memory(40960)
    first, fence = memory.fill([64] * 100)
    memory.put(fence + 8, 0x11)
    memory.put(fence + 24, behind)
    for at in range(fence + 32, fence + 8192, 8):
        memory.put(at, 0xEEEEEEEEEEEEEEEE)
    second, top = memory.fill([64] * 100, at=fence + 8192)
    found, unclear = gather(memory.read, part_to(top))
    assert [each[0] for each in found] == first + second
    assert unclear == 0


@pytest.mark.parametrize("room", [0x20, 0x30, 0x40, 0x50])
def test_the_fence_at_the_end_of_a_heap_that_another_follows(room):
    """It is made of the top, whatever room that had: see `sysmalloc` in malloc/malloc.c."""
    memory = Memory(8192)
    chunks, top = memory.fill([64] * 63)
    size = room - 32
    memory.put(top + size + 24, 0x01)
    if size >= 32:
        memory.put(top + size + 8, 0x11)
        memory.put(top + 8, size | 1)
        chunks.append(top)
    else:
        memory.put(top + 8, (size + 16) | 1)
    part = Part(1, START, START, top + room, top + room)
    found, unclear = gather(memory.read, part)
    assert ([each[0] for each in found], unclear) == (chunks, 0)


@pytest.mark.parametrize("word", [0, 1, 0x10, 0x18, 1 << 60, (64 << 20) | 1])
def test_a_broken_size_in_the_middle(word):
    """What follows is found again, and what lies between is said."""
    memory = Memory(65536)
    chunks, top = memory.fill([64] * 1000)
    memory.put(chunks[500] + 8, word)
    found, unclear = gather(memory.read, part_to(top))
    whole = [each[0] for each in found if each[1] == 64]
    assert whole == [*chunks[:500], *chunks[501:]]
    assert unclear == 64


def test_a_size_that_leads_into_the_content_of_another_block():
    memory = Memory(65536)
    chunks, top = memory.fill([64] * 1000)
    memory.put(chunks[500] + 8, 64 * 70 + 32 | 1)
    found, unclear = gather(memory.read, part_to(top))
    assert [each[0] for each in found] == [*chunks[:501], *chunks[571:]]
    assert unclear == 32


@pytest.mark.parametrize("seed", range(5))
def test_memory_of_somebody_else_that_is_full_of_numbers(seed):
    """Many of them could be sizes of chunks, if those behind them were free."""
    chance = random.Random(seed)
    memory = Memory(400_000)
    first, fence = memory.fill([64] * 1000)
    memory.put(fence + 8, 0x11)
    memory.put(fence + 24, 0x11)
    for at in range(fence + 32, fence + 8192, 8):
        memory.put(at, chance.randrange(32, 1 << chance.randrange(6, 40), 2))
    second, top = memory.fill([96] * 2500, at=fence + 8192)
    found, unclear = gather(memory.read, part_to(top))
    assert [each[0] for each in found] == first + second
    assert unclear == 0
    assert memory.reads < 2000


def test_a_large_chunk_behind_a_fence():
    memory = Memory(400_000)
    first, fence = memory.fill([64] * 10)
    memory.put(fence + 8, 0x11)
    memory.put(fence + 24, 0x11)
    second = fence + 4096
    memory.fill([64] * 200, at=second + 160)  # what an earlier use has left in it
    others, top = memory.fill([20 * PIECE, 64, 64], at=second)
    found, unclear = gather(memory.read, part_to(top))
    assert ([each[0] for each in found], unclear) == (first + others, 0)


def test_all_broken():
    memory = Memory(65536)
    for at in range(START, START + 65536, 8):
        memory.put(at, 0xEEEEEEEEEEEEEEEE)
    found, unclear = gather(memory.read, part_to(START + 60000 // 16 * 16), False)
    assert (found, unclear) == ([], 60000 // 16 * 16)
    assert memory.reads < 200


def test_a_hole_is_stepped_over():
    """Memory that cannot be read, as in a core file that lacks some."""
    memory = Memory(1 << 20)
    chunks, top = memory.fill([64] * 16000)
    low, high = START + 20 * PIECE, START + 90 * PIECE
    memory.holes = [(low, high)]
    found, unclear = gather(memory.read, part_to(top))
    seen = {each[0] for each in found}
    assert {c for c in chunks if c + 64 < low} <= seen <= set(chunks)
    missed = [c for c in chunks if c >= high and c not in seen]
    assert len(missed) < (high - low) // 64, "a hole costs no more than its own length behind it"
    assert unclear >= high - low
    assert memory.reads < 600


def test_nothing_but_a_hole():
    calls = []

    def read(address, _size):
        calls.append(address)
        return b""

    found, _ = gather(read, Part(0, START, START, START + (1 << 22), START + (1 << 22)))
    assert found == []
    assert len(calls) < 2500


class Changing(Memory):
    """Memory that changes at each read of it."""

    changes: tuple[Callable[[int], None], ...] = ()

    def read(self, address, size):
        for change in self.changes:
            change(self.reads)
        return super().read(address, size)


def test_what_changes_between_looks_is_told_and_what_settles_is_not():
    memory = Changing(16384)
    sizes = [64] * 30
    chunks, top = memory.fill(sizes)

    def flicker(number):
        memory.put(chunks[7] + 8, 64 | number % 2)  # chunk 6 is free at every other read

    def settle(number):
        memory.put(chunks[20] + 8, 64 | (number > 1))

    memory.changes = (flicker, settle)
    found, unclear = gather(memory.read, part_to(top), False)
    assert [each[0] for each in found] == chunks
    assert [each[0] for each in found if each[3]] == [chunks[6]]
    assert unclear == 0


def test_chunks_that_merge_and_split_stay_whole():
    """Whichever of the two states a look sees, no byte is counted twice."""
    memory = Changing(16384)
    chunks, top = memory.fill([64] * 60)

    def merge(number):
        memory.put(chunks[30] + 8, (128 if number % 2 else 64) | 1)

    memory.changes = (merge,)
    found, _ = gather(memory.read, part_to(top), False)
    assert sum(each[1] for each in found) == top - START
    assert [each[0] for each in found if each[3]] in ([chunks[30]], [chunks[30], chunks[31]])


def test_a_top_that_moves_down_while_it_is_counted():
    """The last blocks were freed, and belong to what nobody has now."""
    memory = Memory(8192)
    chunks, top = memory.fill([64] * 60)
    memory.put(chunks[50] + 8, (START + 8192 - chunks[50]) | 1)
    found, unclear = gather(memory.read, part_to(top, START + 8192), False)
    assert ([each[0] for each in found], unclear) == (chunks[:50], 0)


def test_a_block_that_lies_across_the_old_top():
    """The top went down and up again: what lies there is no longer cut where it was."""
    memory = Memory(16384)
    chunks, top = memory.fill([64] * 60)
    memory.put(chunks[59] + 8, 0x91)
    memory.fill([0x90, 0x90, 0x90], at=chunks[59])
    found, unclear = gather(memory.read, part_to(top, START + 16384), False)
    assert ([each[0] for each in found], unclear) == (chunks[:59], 0)
