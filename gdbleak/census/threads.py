"""What the own variables of threads say: which arena each uses, and where its cache is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gdbleak.elf.cache import ImageCache
from gdbleak.heap.walk import Words
from gdbleak.survey.threads import thread_bytes
from gdbleak.target.examined import Examined
from gdbleak.target.proc import Mapping


def read_thread_words(
    process: Examined, mappings: Sequence[Mapping], images: ImageCache
) -> dict[int, Words]:
    """Return the words in the variables of threads, by the threads' ids, as far as they are known.

    On x86-64 they lie right before the block to which the register `fs` points.
    """
    found = {}
    size = thread_bytes(process.read_modules(), images)
    blocks = process.find_own_blocks(mappings, process.find_threads())
    for thread, block in blocks.items():
        mapping = next((each for each in mappings if each.start <= block < each.end), None)
        start = max((block - size) & -8, mapping.start) if mapping else block
        data = process.read(start, block - start)
        found[thread] = np.frombuffer(data, np.uint64, len(data) // 8)
    return found
