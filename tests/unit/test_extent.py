"""Which block of glibc's malloc an address is in, on heaps made by hand."""

from __future__ import annotations

import struct

import pytest

from gdbleak.heap.extent import Chunks, Extent

START, SIZE = 0x555555000000, 1 << 20
REGION = START, START + SIZE
IN_USE, MMAPPED = 1, 2


class Heap:
    """A heap whose chunks follow each other, and whose rest is the last chunk."""

    def __init__(self, sizes, free=()):
        self.memory = bytearray(SIZE)
        self.blocks = []
        at = START
        before_free = 0
        for number, size in enumerate(sizes):
            self.put(at, before_free)
            self.put(at + 8, size | (0 if before_free else IN_USE))
            self.blocks.append(at + 16)
            before_free = size if number in free else 0
            at += size
        self.put(at, before_free)
        self.put(at + 8, (START + SIZE - at) | (0 if before_free else IN_USE))
        self.top = at

    def put(self, address, word):
        struct.pack_into("<Q", self.memory, address - START, word)

    def read(self, address, size):
        if not START <= address < START + SIZE:
            return b""
        return bytes(self.memory[address - START :][:size])

    def find(self, address):
        return Chunks(self).find(address, REGION)


SIZES = [32, 48, 128, 64, 4096, 32, 300_000, 48, 96, 112, 2048, 32, 32]


@pytest.mark.parametrize("number", range(len(SIZES)))
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_any_address_in_a_block_leads_to_it(number, share):
    heap = Heap(SIZES)
    block, usable = heap.blocks[number], SIZES[number] - 8
    address = block + int(share * (usable - 8)) // 8 * 8
    assert heap.find(address) == Extent(block, block + usable, is_free=False)


def test_free_chunk_is_said_to_be_free():
    heap = Heap(SIZES, free={2, 6})
    for number in (2, 6):
        found = heap.find(heap.blocks[number] + 24)
        assert (found.start, found.is_free) == (heap.blocks[number], True)
    assert not heap.find(heap.blocks[3]).is_free


def test_what_is_left_at_the_end_is_free():
    heap = Heap(SIZES)
    assert heap.find(heap.top + 4096) == Extent(heap.top + 16, START + SIZE, is_free=True)


def test_what_an_earlier_use_has_left_in_a_block_is_not_taken_for_blocks():
    heap = Heap(SIZES)
    block = heap.blocks[6]
    old = block + 100_000 & -16
    for at in range(old, old + 64 * 10, 64):  # a chain that ends where nothing follows
        heap.put(at + 8, 64 | IN_USE)
    assert heap.find(old + 64 * 3 + 24).start == block
    # ... and one that leads to the end of the block, and so to the chunks that follow
    end = block - 16 + SIZES[6]
    for at in range(end - 64 * 3, end, 64):
        heap.put(at + 8, 64 | IN_USE)
    assert heap.find(end - 64 + 32).start == block


def test_a_block_with_a_mapping_of_its_own():
    heap = Heap([])
    heap.memory = bytearray(SIZE)
    heap.put(START + 8, SIZE | MMAPPED)
    assert heap.find(START + SIZE // 2) == Extent(START + 16, START + SIZE, is_free=False)


@pytest.mark.parametrize("word", [0, 49, 7, (1 << 64) - 1, START + 64])
def test_memory_without_chunks(word):
    heap = Heap([])
    heap.memory = bytearray(struct.pack("<Q", word) * (SIZE // 8))
    assert heap.find(START + SIZE // 2) is None or word == 49  # a chunk may look like that


def test_memory_that_cannot_be_read():
    assert Chunks(Heap(SIZES)).find(0x1000, (0, 0x2000)) is None


def test_check_of_what_is_said_to_be_a_chunk():
    heap = Heap(SIZES)
    chunks, chunk = Chunks(heap), heap.blocks[2] - 16
    assert chunks.check(chunk, heap.blocks[2], REGION).start == heap.blocks[2]
    assert chunks.check(chunk, heap.blocks[3], REGION) is None
    assert chunks.check(chunk + 16, heap.blocks[2] + 32, REGION) is None
