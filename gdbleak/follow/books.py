"""The blocks of a recording that still grows, and what becomes of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.ledger.heap import ignore
from gdbleak.ledger.replay import Replay
from gdbleak.memory.table import Table
from gdbleak.recording.events import Hit, Turn
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.growing import GrowingRecording
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe


class Books:
    """The blocks of a recording that still grows."""

    def __init__(
        self,
        probes: Sequence[Probe],
        functions: Sequence[AllocatorFunction],
        recording: GrowingRecording,
    ) -> None:
        self._recording = recording
        self._replay = Replay(probes, functions, ignore, admit=self._admit)
        self._group: tuple[int, int] = 0, 0
        self._groups: dict[tuple[int, int], int] = {}
        self.has_gaps = False
        """Whether there were times in which nobody saw what was freed."""

    def read(self) -> None:
        """Read what was recorded since, up to where the recording ends now."""
        for appended in self._recording.read_all(self._recording.size):
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
        """Return the outstanding blocks, in order of address.

        Of two that overlap, one was freed unseen: the older one.
        """
        blocks = [block for block in self._replay.ledger.survivors if block.kind == HEAP]
        listed: list[Block] = []
        for block in sorted(blocks, key=lambda block: (block.address, block.born_ns)):
            while listed and block.address < listed[-1].address + max(listed[-1].size, 1):
                if block.born_ns < listed[-1].born_ns:
                    break
                listed.pop()
            else:
                listed.append(block)
        return listed


class Known:
    """The blocks that are looked for, as they were when the search began."""

    def __init__(self, blocks: Sequence[Block], ahead_ns: int) -> None:
        """Note them.

        Args:
            blocks: In order of address. They are changed when more of the recording is read.
            ahead_ns: How far the clock of the recording is ahead of the monotonic one.

        """
        self._blocks = blocks
        self._ahead_ns = ahead_ns
        self.table = Table([(block.address, block.size) for block in blocks])
        self._addresses = [block.address for block in blocks]

    def clock_ns(self, monotonic_s: float) -> int:
        """Return a time on the clock of the recording."""
        return self._ahead_ns + int(monotonic_s * 1e9)

    def find_gone(self, by_ns: float = inf) -> NDArray[np.bool_]:
        """Return which blocks were freed or moved since, as far as that was read: up to a time."""
        return np.array(
            [
                block.address != address or (block.freed_ns is not None and block.freed_ns <= by_ns)
                for block, address in zip(self._blocks, self._addresses)
            ],
            bool,
        )
