"""Memory with chunks of glibc's malloc in it, built by hand."""

from __future__ import annotations

import struct

import numpy as np

from gdbleak.heap.walk import GRAIN

START = 0x555555559000


class Memory:
    """Bytes in one piece from START on, but for holes."""

    def __init__(self, size, holes=()):
        self.data = bytearray(size)
        self.holes = holes
        self.reads = 0

    def put(self, address, *words):
        struct.pack_into(f"<{len(words)}Q", self.data, address - START, *words)

    def word(self, address):
        return int.from_bytes(self.read(address, 8), "little")

    def read(self, address, size):
        self.reads += 1
        end = min(address + size, START + len(self.data))
        for low, high in self.holes:
            if low <= address < high:
                return b""
            if address < low:
                end = min(end, low)
        return bytes(self.data[address - START : end - START]) if START <= address < end else b""

    def fill(self, sizes, used=None, at=START):
        """Put chunks one behind another; return their addresses and where the next one goes."""
        chunks = []
        is_used = True
        for number, size in enumerate(sizes):
            chunks.append(at)
            self.put(at + 8, size | is_used)
            is_used = True if used is None else bool(used[number])
            at += size
        self.put(at + 8, 0x20 | is_used)
        return chunks, at


def words_of(memory):
    """Return the second word of each grain, as a walk takes them."""
    return np.frombuffer(bytes(memory.data), np.uint64)[1::2]


def grains(addresses):
    return [(address - START) // GRAIN for address in addresses]
