"""The process that looks for what refers to the outstanding blocks of a window.

It follows the recording while the window is open, so that it knows the blocks when the window is
over. It is told what to do by lines of JSON, and tells how far it is by such lines:

- in: `{"begin": time}`, on the clock of the recording; `{"registers": {thread: [number, ...]}}`
- out: `{"share": number}`, often; `{"looked": true}` when the target may be let go; and at the end
  `{"references": {...}}`, when the frames for the recording are in a file.

Its standard input ends when the window does not want to know any more.
"""

from __future__ import annotations

import json
import os
import pickle
import selectors
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdbleak.effort import EffortError
from gdbleak.heap.free_memory import find_free_memory
from gdbleak.heap.freed import Heap
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.ledger.heap import ignore
from gdbleak.ledger.replay import Replay
from gdbleak.memory.holding import find_ways
from gdbleak.memory.judgement import Judgement, judge
from gdbleak.memory.look import Ranges, TooManyError
from gdbleak.memory.look import References as Look
from gdbleak.memory.pieces import Range
from gdbleak.memory.search import Pace, TooLongError, take_looks
from gdbleak.memory.table import Table
from gdbleak.recording.end import References
from gdbleak.recording.events import Hit, Turn
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.growing import GrowingRecording
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe
from gdbleak.recording.references import (
    LOST,
    LOST_WITH,
    UNKNOWN,
    Held,
    encode_holding,
    encode_reached,
)
from gdbleak.target.proc import find_data
from gdbleak.target.searched import SearchedProcess

MOST_BLOCKS = 1 << 21
"""More are not looked for: their books take a gigabyte."""
_LOST = LOST, LOST_WITH
_NICENESS = 5
"""The target comes first; but it is recorded until this has ended."""
_POLL_S = 0.2
_TELL_S = 0.05


class CancelledError(Exception):
    """Nobody wants to know any more."""


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
    libc: str | None
    """The C library, by its path, if all blocks are those of glibc's malloc."""
    result: str
    """The file for the frames."""


def main(path: str) -> None:
    """Do what a pickled task says."""
    with suppress(FileNotFoundError, CancelledError, BrokenPipeError):
        task = Task(**pickle.loads(Path(path).read_bytes()))
        _search(task, _Line())


class _Line:
    """What is heard from the window, and told to it."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[dict[str, Any]] = []
        self._told_s = 0.0

    def hear(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next line, if it comes in time.

        Raises:
            CancelledError: there will be no more.

        """
        with selectors.DefaultSelector() as selector:
            selector.register(sys.stdin, selectors.EVENT_READ)
            if not self._lines and selector.select(timeout_s):
                data = os.read(sys.stdin.fileno(), 1 << 20)
                if not data:
                    raise CancelledError
                *lines, self._rest = (self._rest + data).split(b"\n")
                self._lines += map(json.loads, lines)
        return self._lines.pop(0) if self._lines else None

    def tell(self, **values: Any) -> None:
        os.write(sys.stdout.fileno(), json.dumps(values).encode() + b"\n")

    def tell_share(self, share: float) -> None:
        """Tell how much is done, now and then, and find out whether anybody wants to know."""
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELL_S:
            self._told_s = now_s
            self.tell(share=share)
            self.hear(0)


class _Books:
    """The blocks of a recording that still grows."""

    def __init__(self, task: Task, recording: GrowingRecording) -> None:
        self._recording = recording
        self._replay = Replay(task.probes, task.functions, ignore, admit=self._admit)
        self._group: tuple[int, int] = 0, 0
        self._groups: dict[tuple[int, int], int] = {}
        self.has_gaps = False
        """Whether there were times in which nobody saw what was freed."""

    def read(self) -> None:
        """Read what was recorded since."""
        for appended in self._recording.read_all():
            event = appended.event
            if isinstance(event, Hit):
                self._group = self._recording.find_caller(appended), event.registers[0]
            elif isinstance(event, Turn):
                self.has_gaps |= event.phase is Phase.NONE
            self._replay.feed(event)

    def _admit(self, block: Block) -> None:
        """Give a block a number for its caller and the depth of its stack.

        That is about a call stack, and takes no unwinding.
        """
        block.stack = self._groups.setdefault(self._group, len(self._groups))

    def list_blocks(self) -> list[Block]:
        """Return the outstanding blocks, in order of address."""
        blocks = self._replay.ledger.survivors
        return sorted((b for b in blocks if b.kind == HEAP), key=lambda block: block.address)


def _search(task: Task, line: _Line) -> None:
    with (
        GrowingRecording(task.path, task.probes, task.position) as recording,
        SearchedProcess(task.pid) as process,
    ):
        books, order = _Books(task, recording), None
        while order is None:
            books.read()
            order = line.hear(_POLL_S)
        began_s = time.monotonic()
        books.read()
        # Until here it has to keep up with the recording, on a busy host too.
        os.nice(_NICENESS)
        heap = _Heap(process, task.libc)
        blocks = heap.leave_out_freed(books.list_blocks(), books.has_gaps)
        table = Table([(block.address, block.size) for block in blocks])
        looks, reason = _take_looks(task, process, heap, table, line)
        looked_s = time.monotonic()
        time_ns = order["begin"] + int((looked_s - began_s) * 1e9)
        stacks = process.find_stacks(process.find_waiting())
        line.tell(looked=True)
        while "registers" not in order:
            order = line.hear(_POLL_S) or order
        if looks:
            judgement = judge(looks, _find_in_registers(table, order["registers"].values()))
            if books.has_gaps:
                heap.forget_freed(blocks, judgement.states)
            frames = _encode(time_ns, blocks, judgement, looks, stacks)
            Path(task.result).write_bytes(frames)
    scanned = sum(each.scanned_bytes for each in looks)
    found = References(len(looks), looked_s - began_s if looks else 0.0, scanned, reason)
    line.tell(references=asdict(found))


def _take_looks(
    task: Task, process: SearchedProcess, heap: _Heap, table: Table, line: _Line
) -> tuple[list[Look], str | None]:
    """Return the looks, or none and why there are none."""
    if not len(table):
        return [], None
    if len(table) > MOST_BLOCKS:
        return [], f"there are more than {MOST_BLOCKS:,} blocks"
    left_out = [Range(*each) for each in task.left_out]
    pace = Pace(task.bytes_per_s, line.tell_share)
    try:
        looks = take_looks(
            table, process, left_out, pace, task.bytes_per_s, task.limit_s, heap.find_free
        )
    except TooLongError as error:
        return [], f"it would take {error} s: see --scan-time"
    except TooManyError:
        return [], "the blocks refer to each other too often"
    return looks, None


class _Heap:
    """What the allocator of a process tells of its memory: nothing, if it is not glibc's."""

    def __init__(self, process: SearchedProcess, libc: str | None) -> None:
        self._process = process
        self._data = libc and find_data(process.read_mappings(), libc)
        self._heap = Heap(process, self._data) if self._data else None

    def find_free(self) -> Ranges:
        """Return what belongs to nobody."""
        return Ranges(find_free_memory(self._process, self._data) if self._data else [])

    def leave_out_freed(self, blocks: list[Block], has_gaps: bool) -> list[Block]:
        """Return the blocks that are not free although nobody was seen to free them."""
        if not has_gaps or self._heap is None:
            return blocks
        freed = self._find_freed(block.address for block in blocks)
        return [block for block in blocks if block.address not in freed]

    def forget_freed(self, blocks: Sequence[Block], states: NDArray[np.uint8]) -> None:
        """Say of lost blocks that nothing is known if they are free, or if nobody can tell."""
        lost = [number for number, state in enumerate(states.tolist()) if state in _LOST]
        freed = self._find_freed(blocks[number].address for number in lost)
        for number in lost:
            if blocks[number].address in freed:
                states[number] = UNKNOWN

    def _find_freed(self, addresses: Iterable[int]) -> set[int]:
        asked = {*addresses}
        if self._heap is None:
            return set()
        try:
            return self._heap.find_freed(asked)
        except EffortError:
            return asked


def _find_in_registers(table: Table, registers: Iterable[Sequence[int]]) -> NDArray[np.bool_]:
    held = np.zeros(len(table), bool)
    words = np.array([number for numbers in registers for number in numbers], np.uint64)
    held[table.find(words)[1]] = True
    return held


def _encode(
    time_ns: int,
    blocks: Sequence[Block],
    judgement: Judgement,
    looks: Sequence[Look],
    stacks: Mapping[int, tuple[int, int]],
) -> bytes:
    """Return the frames that tell of blocks what was found."""
    states = judgement.states.tolist()
    reached = [(b.address, b.born_ns, state) for b, state in zip(blocks, states)]
    ways = find_ways(judgement, looks, [block.stack for block in blocks])
    held = [
        Held(
            blocks[way.block].address,
            blocks[way.block].born_ns,
            way.holder,
            way.root,
            next((t for t, (start, end) in stacks.items() if start <= way.root < end), 0),
            way.hops,
        )
        for way in ways
    ]
    return encode_reached(time_ns, reached) + encode_holding(time_ns, held)
