"""The words that stand at millions of addresses. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gdbleak.memory.pieces import PIECE_BYTES, WORD_BYTES, Range, Words, iter_pieces


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
        end = int(addresses[last - 1]) + count * WORD_BYTES
        offsets = (addresses[first:last] - np.uint64(begin)).astype(np.int64) // WORD_BYTES
        # What cannot be read is passed over, so there may be several runs of words.
        for start, words in iter_pieces(read, [Range(begin, end)]):
            behind = (start - begin) // WORD_BYTES
            for number in range(count):
                at = offsets + (number - behind)
                inside = (at >= 0) & (at < len(words))
                found[first:last, number][inside] = words[at[inside]]
    return found
