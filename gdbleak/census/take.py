"""A census of the heap of glibc's malloc, from what is mapped to what was counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import replace

import numpy as np

from gdbleak.census.glibc import Census, Count
from gdbleak.census.threads import read_thread_words
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import NoSuchProcessError
from gdbleak.heap.walk import Words
from gdbleak.memory.pieces import Range, subtract
from gdbleak.target.examined import Examined
from gdbleak.target.proc import Mapping

NO_WORDS = np.zeros(0, np.uint64)


def take_census(
    process: Examined,
    images: ImageCache,
    tell: Callable[[float], None],
    keeps: bool = False,
    is_still: bool = False,
    left_out: Sequence[Range] = (),
) -> tuple[Dict[int, Words], Count | None]:
    """Return what stands in the variables of threads, by their ids, and what the heap holds.

    Args:
        process: Whose heap it is.
        images: Keeps its ELF files.
        tell: Called with the share of the heap that is counted; it may raise.
        keeps: Whether to keep the addresses of all blocks.
        is_still: Whether nothing changes meanwhile.
        left_out: Memory in it that is ours.

    Raises:
        NoSuchProcessError: the process has ended, perhaps meanwhile.
        TargetError: it cannot be read.

    """
    mappings = _leave_out(_read_mappings(process), left_out)
    words = read_thread_words(process, mappings, images)
    known = frozenset(np.concatenate([*words.values(), NO_WORDS]).tolist())
    count = Census(process, mappings, known, keeps, is_still, tell).take()
    _read_mappings(process)  # of a process that has ended meanwhile, not all was counted
    return words, count


def _read_mappings(process: Examined) -> list[Mapping]:
    mappings = process.read_mappings()
    if not mappings:
        raise NoSuchProcessError(f"process {process.pid} has ended meanwhile")
    return mappings


def _leave_out(mappings: Sequence[Mapping], left_out: Sequence[Range]) -> list[Mapping]:
    """Return the mappings without parts of them; the kernel joins ours with its neighbours."""
    if not left_out:
        return [*mappings]
    return [
        replace(mapping, start=part.start, end=part.end)
        for mapping in mappings
        for part in subtract([Range(mapping.start, mapping.end)], sorted(left_out))
    ]
