"""Looks for blocks that were freed while breakpoints were out: in the heap of a running target.

Between bursts nobody tells of a free. But glibc writes beside and into a block that it is free, and
that can be read without stopping anyone. A block that was handed out again before it was looked at
seems to have been in use all along: the more often one looks, the fewer are taken for another.
"""

from __future__ import annotations

import os
import time
from itertools import islice, takewhile
from pathlib import Path

from gdbleak.allocator_search import Plan
from gdbleak.blocks import Block
from gdbleak.errors import WriteError
from gdbleak.glibc_heap import Heap, find_data
from gdbleak.proc import Memory, read_mappings
from gdbleak.recording import Freed, encode_freed

GLANCE_S = 0.002
ROUND_S = 0.05
INSPECTION_S = 0.2
"""How often each kind of look is taken at most."""

YOUNG_NS = 2_000_000_000
"""A block that was glanced at for this long, and never found free, is not likely to be."""

INSPECTED = 1000
"""At how many blocks one inspection looks: nothing else is done meanwhile."""

SHARE = 0.1
"""Of the time, how much is spent on each kind of look at most."""


def find_heap(pid: int, plan: Plan, memory: Memory) -> Heap | None:
    """Return the heap whose blocks a plan records; None when its state cannot be read."""
    allocators = [a for a in plan.allocators if any(f.mapping is None for f in a.functions)]
    if len(allocators) != 1 or not allocators[0].is_glibc:
        return None
    return Heap(memory.read, find_data(read_mappings(pid), allocators[0].module.path))


class Looks:
    """Looks at the blocks of one target, and notes in its recording which are free.

    There are three kinds of look: a glance at the blocks of the last two seconds, a round of all of
    them, and, for what a glance does not see, an inspection of some.
    """

    def __init__(self, heap: Heap, recording: Path) -> None:
        self._heap = heap
        self._recording = recording
        kinds = ((INSPECTION_S, self._inspect), (ROUND_S, self._go_round), (GLANCE_S, self._glance))
        self._kinds = [(pause_s, find, 0.0) for pause_s, find in kinds]
        self._inspected = 0

    def look(self, blocks: dict[int, Block], now_ns: int) -> None:
        """Take the look that is due, if one is.

        Args:
            blocks: Those that seem to be in use by their addresses, the latest at the end.
            now_ns: On the clock of the recording.

        Raises:
            WriteError: the recording cannot be written on.

        """
        began_s = time.monotonic()
        for number, (pause_s, find, due_s) in enumerate(self._kinds):
            if began_s < due_s:
                continue
            freed = [(address, blocks[address].born_ns) for address in find(blocks, now_ns)]
            if freed:
                self._note(Freed(now_ns, tuple(freed)))
            due_s = began_s + max(pause_s, (time.monotonic() - began_s) / SHARE)
            self._kinds[number] = pause_s, find, due_s
            return

    def _glance(self, blocks: dict[int, Block], now_ns: int) -> set[int]:
        latest = reversed(blocks.values())
        young = takewhile(lambda block: now_ns - block.born_ns < YOUNG_NS, latest)
        return self._heap.find_cached([block.address for block in young])

    def _go_round(self, blocks: dict[int, Block], now_ns: int) -> set[int]:
        del now_ns
        return self._heap.find_cached(blocks.keys())

    def _inspect(self, blocks: dict[int, Block], now_ns: int) -> set[int]:
        del now_ns
        if self._inspected >= len(blocks):
            self._inspected = 0
        some = [*islice(blocks, self._inspected, self._inspected + INSPECTED)]
        self._inspected += len(some)
        return self._heap.find_freed(some)

    def _note(self, freed: Freed) -> None:
        frame = encode_freed(freed)
        file = os.open(self._recording, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            # The agent appends too: in one piece, or what it writes would lie in between.
            if os.write(file, frame) != len(frame):
                raise WriteError("no space left for the recording")
        except OSError as error:
            raise WriteError(f"cannot write the recording: {error.strerror}") from error
        finally:
            os.close(file)
