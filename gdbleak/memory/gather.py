"""The words that stand at millions of addresses. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gdbleak.memory.pieces import PIECE_BYTES, WORD_BYTES, Words


def gather(read: Callable[[int, int], bytes], addresses: Words, count: int) -> Words:
    """Return so many words from each address on, in rows; 0 where none can be read.

    Args:
        read: Reads the memory of the process.
        addresses: In order, whole words.
        count: Of words.

    """
    found = np.zeros((len(addresses), count), np.uint64)
    pieces = addresses // np.uint64(PIECE_BYTES)
    edges = [0, *(np.flatnonzero(pieces[1:] != pieces[:-1]) + 1).tolist(), len(addresses)]
    for first, last in zip(edges, edges[1:]):
        if first == last:
            continue
        begin = int(addresses[first])
        size = int(addresses[last - 1]) - begin + count * WORD_BYTES
        data = read(begin, size)
        words = np.frombuffer(data, np.uint64, len(data) // WORD_BYTES)
        at = ((addresses[first:last] - np.uint64(begin)) >> np.uint64(3)).astype(np.int64)
        for number in range(count):
            inside = at + number < len(words)
            found[first:last, number][inside] = words[at[inside] + number]
    return found
