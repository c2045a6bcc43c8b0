"""The process that looks for what refers to the outstanding blocks of a window.

It follows the recording while the window is open, so that it knows the blocks when the window is
over. It is told what to do by lines of JSON, and tells how far it is by such lines:

- in: `{"begin": number}`, how many ns the recording's clock is ahead of the monotonic one;
  `{"registers": {thread: [number, ...]}}`
- out: `{"share": number}`, often; `{"looked": true}` when the target may be let go; and at the end
  `{"references": {...}}`, when the frames for the recording are in a file.

Its standard input ends when the window does not want to know any more.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gdbleak.errors import TargetError
from gdbleak.follow.books import Books, Known
from gdbleak.follow.known_heap import KnownHeap
from gdbleak.follow.line import Line, quietly, write
from gdbleak.ledger.blocks import Block
from gdbleak.memory.holding import Way, find_ways
from gdbleak.memory.judgement import Judgement, judge
from gdbleak.memory.look import References as Look
from gdbleak.memory.look import TooManyError, disown
from gdbleak.memory.pieces import Range
from gdbleak.memory.search import Pace, TooLongError, take_looks
from gdbleak.memory.table import Numbers, Table
from gdbleak.recording.end import References
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.growing import GrowingRecording
from gdbleak.recording.probes import Probe
from gdbleak.recording.references import (
    HELD,
    UNKNOWN,
    Held,
    encode_holding,
    encode_reached,
)
from gdbleak.survey.ways import find_roots
from gdbleak.survey.wish import Wish
from gdbleak.target.kernel_words import read_kernel_words
from gdbleak.target.registers import read_registers
from gdbleak.target.searched import SearchedProcess

MOST_BLOCKS = 1 << 21
"""More are not looked for: their books take a gigabyte."""
_NICENESS = 5
"""The target comes first; but it is recorded until this has ended."""
_KERNEL = 0
"""Stands for a thread, where the kernel keeps pointers."""
_POLL_S = 0.2
_TELL_S = 0.05


@dataclass(frozen=True)
class Task:
    """What to look for, and how."""

    pid: int
    path: str
    """Of the recording, which grows."""
    position: int
    """Where its events begin."""
    probes: tuple[Probe, ...]
    functions: tuple[AllocatorFunction, ...]
    left_out: tuple[tuple[int, int], ...]
    """Memory of the target that is ours."""
    bytes_per_s: float
    limit_s: float
    climb_s: float
    """How long it may take to find the variables that hold blocks."""
    climb_bytes: int
    """How much memory that may take."""
    libc: str | None
    """The C library, by its path, if all blocks are those of glibc's malloc."""
    result: str
    """The file for the frames."""


def main(path: str) -> None:
    """Do what a pickled task says."""
    with quietly:
        task = Task(**pickle.loads(Path(path).read_bytes()))
        line = _SearchLine()
        try:
            _search(task, line)
        except PermissionError:
            line.give_up("the process lets nobody look at it any more")
        except MemoryError:
            line.give_up("it takes more memory than there is")


class _SearchLine(Line):
    """The line to the window, over which a search tells how far it is."""

    _told_s = 0.0

    def tell_share(self, share: float, books: Books) -> None:
        """Tell how much is done, now and then, and find out whether anybody wants to know.

        What was recorded meanwhile is read in too, so that it does not take long at the end.
        """
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELL_S:
            self._told_s = now_s
            self.tell(share=share)
            self.hear(0)
            books.read()

    def give_up(self, reason: str) -> None:
        """Tell why there will be no findings, as a part of a sentence."""
        self.tell(references=asdict(References(0, 0.0, 0, reason)))


def _search(task: Task, line: _SearchLine) -> None:
    with (
        GrowingRecording(task.path, task.probes, task.position) as recording,
        SearchedProcess(task.pid) as process,
    ):
        books, order = Books(task.probes, task.functions, recording), None
        while order is None:
            books.read()
            order = line.hear(_POLL_S)
        began_s = time.monotonic()
        books.read()
        # Until here it has to keep up with the recording, on a busy host too.
        os.nice(_NICENESS)
        heap = KnownHeap(process, task.libc)
        blocks = heap.leave_out_freed(books.list_blocks(), books.has_gaps)
        known = Known(blocks, order["begin"])
        pace = Pace(task.bytes_per_s, task.limit_s, lambda share: line.tell_share(share, books))
        looks, reason = _take_looks(task, process, heap, known, pace)
        looked_s = time.monotonic()
        line.tell(looked=True)
        while "registers" not in order:
            order = line.hear(_POLL_S) or order
        if looks:
            books.read()
            looked_ns = known.clock_ns(looked_s)
            looks = disown(looks, known.find_gone(looked_ns))
            words = {int(thread): each for thread, each in order["registers"].items()}
            words[_KERNEL] = read_kernel_words(task.pid)
            owners = _find_owners(known.table, words)
            judgement = judge(looks, owners >= 0)
            if not order["registers"] and (judgement.states != HELD).any():
                words.update(read_registers(task.pid))
                owners = _find_owners(known.table, words)
                judgement = judge(looks, owners >= 0)
            # Of what was freed before it was looked for once, nothing was found out.
            judgement.states[known.find_gone(known.clock_ns(pace.first_ended_s))] = UNKNOWN
            if books.has_gaps:
                heap.forget_freed(blocks, judgement.states)
            ways = find_ways(judgement, looks, [block.stack for block in blocks])
            roots = _climb(task, process, {way.root for way in ways if way.root})
            frames = encode_reached(looked_ns, _tell_states(blocks, judgement))
            frames += encode_holding(looked_ns, [*_tell_ways(blocks, ways, roots, owners)])
            reason = write(task.result, frames)
    scanned = sum(each.scanned_bytes for each in looks)
    found = References(len(looks), looked_s - began_s if looks else 0.0, scanned, reason)
    line.tell(references=asdict(found))


def _take_looks(
    task: Task, process: SearchedProcess, heap: KnownHeap, known: Known, pace: Pace
) -> tuple[list[Look], str | None]:
    """Return the looks, or none and why there are none."""
    table = known.table
    if not len(table):
        return [], None
    if len(table) > MOST_BLOCKS:
        return [], f"there are more than {MOST_BLOCKS:,} blocks"
    left_out = [Range(*each) for each in task.left_out]
    try:
        looks = take_looks(table, process, left_out, pace, heap.find_free, known.find_gone)
    except TooLongError as error:
        return [], f"it would take {error} s: see --scan-time"
    except TooManyError:
        return [], "the blocks refer to each other too often"
    return looks, None


def _find_owners(table: Table, words: Mapping[int, Sequence[int]]) -> Numbers:
    """Return for each block a thread in whose registers it is, 0 for the kernel; -1 for none.

    Args:
        table: The blocks.
        words: What stands there, by thread.

    """
    owners = np.full(len(table), -1)
    for thread, numbers in words.items():
        owners[table.find(np.array(numbers, np.uint64))[1]] = thread
    return owners


def _climb(task: Task, process: SearchedProcess, words: set[int]) -> dict[int, tuple[int, int]]:
    """Return the roots from which words are reached, and whose thread's they are."""
    if not words:
        return {}
    try:
        return find_roots(process, sorted(words), Wish(task.climb_s, task.climb_bytes))
    except TargetError:  # it has ended, and what is known until now has to do
        return {}


def _tell_states(blocks: Sequence[Block], judgement: Judgement) -> list[tuple[int, int, int]]:
    states = judgement.states.tolist()
    return [(block.address, block.born_ns, state) for block, state in zip(blocks, states)]


def _tell_ways(
    blocks: Sequence[Block],
    ways: Iterable[Way],
    roots: Mapping[int, tuple[int, int]],
    owners: Numbers,
) -> Iterator[Held]:
    for number, holder, root, hops, first in ways:
        block = blocks[number]
        root, thread = roots.get(root, (root, 0)) if root else (0, int(owners[first]))
        yield Held(block.address, block.born_ns, holder, root, thread, hops)
