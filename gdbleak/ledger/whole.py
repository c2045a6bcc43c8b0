"""The books of a recording that was written inside the target: calls that were seen whole. Pure.

Nothing has to be matched by the stack, and nothing comes twice. Where events were left out, they
are those of certain blocks, by their addresses: a resize may then be seen at its beginning or its
end only. What leaves the blocks that are kept counts as freed, what joins them as handed out.
"""

from __future__ import annotations

from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.ledger.calls import Call
from gdbleak.ledger.heap import Ledger
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.phases import Phase


class WholeLedger(Ledger):
    """The books of calls that were seen whole. Feed it in the order of the recording."""

    _turned_ns = 0

    def turn(self, phase: Phase, time_ns: int) -> None:
        """Record that other calls count from a time on. What was before that may come later."""
        self._turned_ns = time_ns
        super().turn(phase, time_ns)

    def _takes_new(self, time_ns: int) -> bool:
        return self._admits or time_ns < self._turned_ns

    def allocate(self, time_ns: int, thread: int, address: int, size: int, stack: int) -> None:
        """Record a call that handed out a block."""
        if self._calls:
            self.lose_resize(thread, time_ns)
        if not self._takes_new(time_ns):
            return
        block = Block(
            address, size, size, size, time_ns, None, thread, stack, 0, HEAP, False, False, 0, 0
        )
        self._admit(block)
        self.allocations += 1
        self._put_in(block, address, time_ns)

    def release(self, time_ns: int, thread: int, address: int, usable: int = 0) -> None:
        """Record a call that frees a block, whose size is `usable` if that is known."""
        if self._calls:
            self.lose_resize(thread, time_ns)
        self._end(self._alive.pop(address, None), usable, time_ns)

    def count_folded(self, blocks: int) -> None:
        """Record so many calls that hand out a block, and as many that free them."""
        self.allocations += blocks
        self.frees += blocks

    def begin_resize(
        self,
        function: AllocatorFunction,
        time_ns: int,
        thread: int,
        address: int,
        usable: int = 0,
    ) -> None:
        """Record that a block is about to be resized: its address may be handed out meanwhile.

        Its size is `usable`, if that is known.
        """
        if self._calls:
            self.lose_resize(thread, time_ns)
        block = self._alive.pop(address, None)
        self._calls[thread] = Call(0, function, address, 0, 0, 0, block, usable)

    def end_resize(self, time_ns: int, thread: int, address: int, size: int, stack: int) -> None:
        """Record that a block was resized.

        Args:
            time_ns: When.
            thread: Who did it.
            address: Where the block is now; 0 if the call has failed, or was told to free it.
            size: How large the block was to be.
            stack: Position of what holds the call stack.

        """
        call = self._calls.pop(thread, None)
        if call is None:  # there was no block before, or it was none of those that are kept
            if address:
                self.allocate(time_ns, thread, address, size, stack)
        elif address:
            self._hand_out(call._replace(size=size), address, time_ns, thread, stack, 0)
        elif size:
            self._put_back(call)
        else:
            self._end(call.block, call.before, time_ns)

    def lose_resize(self, thread: int, time_ns: int) -> None:
        """Record that a resize which a thread has begun is not seen to end: its end is left out."""
        call = self._calls.pop(thread, None)
        if call is not None:
            self._end(call.block, call.before, time_ns)
