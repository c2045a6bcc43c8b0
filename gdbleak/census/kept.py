"""All blocks of a heap by their addresses, and what belongs to nobody. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gdbleak.census.glibc import Count
from gdbleak.heap.chunk import BLOCK, SIZE
from gdbleak.heap.walk import Words


class HeapBlocks(NamedTuple):
    """What a search for lost blocks has to know of a heap."""

    blocks: Words
    """Addresses of the blocks in use as malloc has returned them, in order."""
    sizes: Words
    """How many bytes of each the program may use."""
    left_out: Words
    """What belongs to nobody: first address and the one behind the last, in rows, in order."""


def gather_blocks(count: Count) -> HeapBlocks:
    """Return the blocks of a census that has kept them."""
    kept = count.kept
    assert kept is not None
    large = np.array([(each.address, each.size) for each in count.large], np.uint64).reshape(-1, 2)
    blocks = np.concatenate([*kept.blocks, large[:, 0] - np.uint64(BLOCK)]) + np.uint64(BLOCK)
    sizes = np.concatenate([*kept.sizes, large[:, 1] + np.uint64(SIZE)]) - np.uint64(SIZE)
    order = np.argsort(blocks, kind="stable")
    return HeapBlocks(blocks[order], sizes[order], _find_left_out(count))


def _find_left_out(count: Count) -> Words:
    kept = count.kept
    assert kept is not None
    free = np.concatenate(kept.free)
    # The first word of a chunk is the last one of the block before it.
    ranges = [np.stack([free + np.uint64(SIZE), free + np.concatenate(kept.free_sizes)], axis=1)]
    own = [(arena.arena.address, arena.arena.end) for arena in count.arenas]
    for arena in count.arenas:
        for part in arena.parts:
            own.append((part.start, part.first + SIZE))
            if part.top < part.end:
                own.append((part.top + SIZE, part.end))
    own += [(cache, cache + 1) for cache in count.caches]
    ranges.append(np.array([each for each in own if each[0] < each[1]], np.uint64).reshape(-1, 2))
    found = np.concatenate(ranges)
    found = found[np.argsort(found[:, 0], kind="stable")]
    # An arena other than the main one is within its heap's header.
    ends = np.maximum.accumulate(found[:, 1])
    new = np.concatenate([[True], found[1:, 0] > ends[:-1]])
    last = np.append(np.flatnonzero(new)[1:] - 1, len(found) - 1)
    return np.stack([found[new, 0], ends[last]], axis=1)
