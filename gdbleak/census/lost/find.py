"""Lost blocks of a whole heap: what nothing refers to, put together for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from gdbleak.census.lost.around import Around, find_around
from gdbleak.census.lost.looks import Blocks, Looks, Unreached
from gdbleak.census.lost.objects import Classes
from gdbleak.census.wish import LostWish
from gdbleak.elf.cache import ImageCache
from gdbleak.memory.gather import gather
from gdbleak.memory.graph import Indexes
from gdbleak.memory.look import Ranges
from gdbleak.memory.pieces import Range, Words
from gdbleak.memory.search import Pace, TooLongError
from gdbleak.memory.table import Numbers
from gdbleak.memory.trees import Trees, find_trees
from gdbleak.report.heap import Amount, Lost, LostTree, MappingKind, MappingUse
from gdbleak.target.examined import Examined
from gdbleak.text.lines import printable

_OF_SYSTEM = ("/usr/", "/lib", "/etc/", "[")
"""Files below these hold what no program writes addresses into."""
_CONTENT_BYTES = 32
_MOST_WORDS = 1 << 12
"""The first words of roots that may lead to a class: the most frequent ones."""
_SUMMED_AT_ONCE = 1 << 22
_CHUNK_HEADER = 8
"""What a block takes beside what its program may use."""


def find_lost(
    process: Examined,
    blocks: Words,
    sizes: Words,
    left_out: Words | Sequence[Range],
    wish: LostWish,
    images: ImageCache,
    count_again: Callable[[], Blocks] | None = None,
    is_still: bool = False,
    tell: Callable[[float], None] = lambda _: None,
) -> Lost:
    """Return the blocks of a heap that nothing outside them refers to.

    Args:
        process: Runs meanwhile, unless it is a core file.
        blocks: Addresses of all blocks in use as malloc has returned them, in order.
        sizes: How many bytes may be used at each.
        left_out: What belongs to nobody: free chunks, and what the allocator has for itself; first
            addresses and those behind the last, in order. Blocks within are the allocator's own.
        wish: How to search.
        images: Keeps the ELF files of the process.
        count_again: Counts blocks and sizes anew; None for a process that stands still.
        is_still: Whether the process is stopped; that of a core file always is.
        tell: Called often with the share of the work that is done; it may raise.

    Raises:
        TargetError: the process has ended, or cannot be read any more.

    """
    began_s = time.monotonic()
    nobodys = np.asarray(left_out, np.uint64).reshape(-1, 2)
    blocks, sizes = _drop_own(blocks, sizes, nobodys)
    count = len(blocks)
    around = find_around(process, images, blocks, nobodys)
    is_still = is_still or process.is_core
    rate = float("inf") if is_still else wish.scan_rate
    pace = Pace(rate, wish.time_s, tell)
    looks = Looks(process, around, (blocks, sizes), nobodys, pace, is_still)
    del blocks, sizes  # those of ten million blocks take 160 MB
    try:
        unreached = looks.run(count_again)
    except TooLongError as error:
        note = f"lost blocks were not looked for to the end: it would take {error} s (--scan-time)"
        took_s = time.monotonic() - began_s
        return Lost(0, took_s, count, Amount(), (), (), (note,))
    trees = _tell_trees(process, around, images, unreached, wish)
    mappings = _tell_mappings(process, unreached.mappings)
    return Lost(
        unreached.looks,
        time.monotonic() - began_s,
        count,
        Amount(len(unreached.starts), _bytes_of(unreached.sizes)),
        tuple(trees[: wish.trees]),
        mappings,
        (*_list_notes(unreached, trees, wish), *_say_what_a_core_lacks(process, around, unreached)),
    )


def _drop_own(blocks: Words, sizes: Words, nobodys: Words) -> Blocks:
    """Return the blocks without those that the allocator has for itself."""
    free = Ranges(nobodys)
    own = [
        at + np.flatnonzero(free.have(blocks[at : at + _SUMMED_AT_ONCE]))
        for at in range(0, len(blocks), _SUMMED_AT_ONCE)
    ]
    numbers = np.concatenate([np.zeros(0, np.int64), *own])
    return (
        (np.delete(blocks, numbers), np.delete(sizes, numbers)) if len(numbers) else (blocks, sizes)
    )


def _list_notes(unreached: Unreached, trees: Sequence[LostTree], wish: LostWish) -> list[str]:
    notes = []
    if unreached.crowded:
        notes.append(
            f"{unreached.crowded:,} blocks count as held: the blocks refer to each other so often "
            "that not all of that was followed."
        )
    if unreached.unknown_threads and trees:
        count = unreached.unknown_threads
        threads = "1 thread" if count == 1 else f"{count:,} threads"
        notes.append(
            f"The registers of {threads} could not be read: blocks that only these hold count as "
            "lost."
        )
    if len(trees) > wish.trees:
        rest = trees[wish.trees :]
        notes.append(
            f"{len(rest):,} more kinds of trees are not listed: {sum(t.blocks for t in rest):,} "
            f"blocks, {sum(t.bytes for t in rest):,} bytes."
        )
    return notes


def _say_what_a_core_lacks(process: Examined, around: Around, lost: Unreached) -> list[str]:
    """Say which mapped files may hold references that nobody can see.

    Source: core(5): memory that is shared with a file is left out unless it is asked for; GDB does
    not even say then that it could be written. What may be, the core file tells of by itself.
    """
    if not process.is_core or not len(lost.starts):
        return []
    lacking = {
        each.path
        for each in process.read_mappings()
        if each.inode
        and "w" not in each.permissions
        and not each.path.startswith(_OF_SYSTEM)
        and around.modules.find(each.start) is None
        and not process.find_pages(each.start, each.end)
    }
    if not lacking:
        return []
    files = "a file" if len(lacking) == 1 else f"{len(lacking)} files"
    return [
        f"The core file lacks what is mapped of {files}, such as {printable(min(lacking))}: blocks "
        "that only this refers to count as lost. A core with it: echo 0x7f > "
        "/proc/PID/coredump_filter, before it is written."
    ]


def _bytes_of(sizes: Words) -> int:
    return int(sizes.sum()) + _CHUNK_HEADER * len(sizes)


def _tell_trees(
    process: Examined,
    around: Around,
    images: ImageCache,
    lost: Unreached,
    wish: LostWish,
) -> list[LostTree]:
    """Return the trees of lost blocks, those that look alike as one, the largest first."""
    if not len(lost.starts):
        return []
    trees = find_trees(lost.graph, lost.sizes)
    roots = trees.roots
    count = len(roots)
    numbers, amounts = _sum_up(trees.labels, lost.sizes, count)
    in_order = np.argsort(roots, kind="stable")
    first_words = np.zeros(count, np.uint64)
    first_words[in_order] = gather(process.read, lost.starts[roots[in_order]], 1)[:, 0]
    kinds, names = _find_kinds(first_words, Classes(process, around.modules, images), around)
    rows = []
    for tree, members in _fold(trees, lost.sizes, kinds, numbers):
        address = int(lost.starts[roots[tree]])
        size = int(lost.sizes[roots[tree]])
        rows.append(
            LostTree(
                address,
                size,
                bool(trees.are_cycles[tree]),
                len(members),
                int(numbers[members].sum()),
                int(amounts[members].sum()),
                names[kinds[tree]],
                _read_content(process, address, size) if wish.content else None,
            )
        )
    return sorted(rows, key=lambda row: (-row.bytes, row.address))


def _sum_up(labels: Indexes, sizes: Words, count: int) -> tuple[Numbers, Numbers]:
    """Return how many blocks each of so many trees has, and the bytes that they take."""
    numbers, amounts = np.zeros(count, np.int64), np.zeros(count, np.float64)
    for at in range(0, len(labels), _SUMMED_AT_ONCE):
        some, taken = labels[at : at + _SUMMED_AT_ONCE], sizes[at : at + _SUMMED_AT_ONCE]
        numbers += np.bincount(some, minlength=count)
        amounts += np.bincount(some, weights=taken, minlength=count)
    return numbers, amounts.astype(np.int64) + _CHUNK_HEADER * numbers


def _find_kinds(words: Words, classes: Classes, around: Around) -> tuple[Numbers, list[str | None]]:
    """Return the number of the class of each object, and the names of classes by number.

    Number 0 is that of what has none.
    """
    kinds = np.zeros(len(words), np.int64)
    spans = [(module.start, module.end) for module in around.modules]
    inside = np.flatnonzero(Ranges(spans).have(words))
    if not len(inside):
        return kinds, [None]
    distinct, position, count = np.unique(words[inside], return_inverse=True, return_counts=True)
    often = np.argsort(-count, kind="stable")[:_MOST_WORDS]
    found = classes.find(distinct[often].tolist())
    names = sorted(set(found.values()))
    number_of = {name: number for number, name in enumerate(names, 1)}
    numbers = np.array([number_of.get(found.get(w, ""), 0) for w in distinct.tolist()], np.int64)
    kinds[inside] = numbers[position]
    return kinds, [None, *names]


def _fold(
    trees: Trees, sizes: Words, kinds: Numbers, numbers: Numbers
) -> list[tuple[int, Numbers]]:
    """Return the trees that look alike: the one whose root comes first, and all of them.

    They do if their roots have the same size and class, and if they have about as many blocks: as
    many bits as that number has.
    """
    magnitude = np.frexp(numbers.astype(np.float64))[1]
    columns = (
        trees.roots,
        magnitude,
        trees.are_cycles.astype(np.int64),
        kinds,
        sizes[trees.roots].astype(np.int64),
    )
    order = np.lexsort(columns)
    differ = np.zeros(max(len(order) - 1, 0), bool)
    for column in columns[1:]:
        differ |= np.diff(column[order]) != 0
    groups = np.split(order, np.flatnonzero(differ) + 1)
    return [(int(group[0]), group) for group in groups if len(group)]


def _read_content(process: Examined, address: int, size: int) -> str:
    """Return the first bytes of a block, as text and as hexadecimal numbers."""
    data = process.read(address, min(size, _CONTENT_BYTES))
    text = "".join(chr(each) if 32 <= each < 127 else "." for each in data)
    return f'"{printable(text)}" {data.hex(" ", 8)}'


def _tell_mappings(process: Examined, ranges: Sequence[Range]) -> tuple[MappingUse, ...]:
    usage = process.read_usage() if ranges else {}
    told = []
    for start, end in ranges:
        use = usage.get(start)
        figures = (use.resident, use.dirty, use.swapped) if use else (None, None, None)
        told.append(
            MappingUse(start, end, "rw-p", MappingKind.ANONYMOUS, "anonymous memory", *figures)
        )
    return tuple(told)
