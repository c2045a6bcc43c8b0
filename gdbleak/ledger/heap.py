"""Who is alive: the calls of a program's allocator in, the fate of every block out. Pure.

The rules, each a row of a table in `tests/unit/test_ledger.py`:

- A call is matched with its return by thread and stack pointer. Calls that an allocator
  function makes of another (`realloc` of `malloc`) lie deeper on the stack and are ignored:
  what happened is told by the outermost. A tail call (`reallocarray` jumps to `realloc`) lies
  at the same stack pointer and takes the place of its caller.
- A free that calls another (`operator delete` does, and the free of a wrapped allocator) is
  followed by it at the same height of the stack or deeper: with the same block, or, in another
  allocator, with one that nobody knows. It is one free. One that jumps back to its own beginning
  (that of glibc 2.43, when the thread has no cache yet) comes twice at the same height.
- What an allocator's own function calls (the end of a thread frees what its cache holds, the start
  of a cache allocates it) is nothing that the program does. A block that is freed there and counts
  as in use was freed before, unseen.
- A call that leaves its function for somewhere unknown is not seen to return. It is lost, unless a
  call of another function at the same height or deeper takes its place.
- `realloc` takes its block out of the books when it is entered, because the old address may be
  handed to another thread before it returns; on return the same block goes back in, at its new
  address and size, or unchanged when the call failed.
- Where breakpoints are taken out, calls under way are forgotten, and nothing is counted as missed.
- Where only blocks of some sizes are recorded, one that is resized to another size counts as freed,
  one from another size as handed out, and the free of an unknown block is nothing if all come.
- A block that existed before the window and is resized in it becomes a block of the window, which
  accounts for what it has grown by; for all of it, where its size before that is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gdbleak.ledger.blocks import HEAP, LAST_SHARE, Block
from gdbleak.ledger.calls import Call, Free
from gdbleak.ledger.counts import Counts
from gdbleak.ledger.mappings import MappingLedger
from gdbleak.recording.functions import AllocatorFunction, MappingCall
from gdbleak.recording.phases import Phase

_UNMAP = MappingCall.UNMAP  # to look up a member of an enumeration takes long, for each event


def ignore(*_: object) -> None:
    """Take what nobody wants to know."""


class Ledger(Counts):
    """The books of one window. Feed it in the order of the recording, then call `close`."""

    def __init__(
        self,
        retire: Callable[[Block], None],
        resize: Callable[[Block, int, int], None] = ignore,
        free_older: Callable[[int, int], None] = ignore,
        admit: Callable[[Block], None] = ignore,
    ) -> None:
        """Begin the books.

        Args:
            retire: Is given every block of the window when it was freed.
            resize: Is given every block that was resized, by how many net bytes it grew, and when.
            free_older: Is given the size of each older block that was freed, or 0, and when.
            admit: Is given every block of the window when the call that hands it out returns.

        """
        super().__init__()
        self.mappings = MappingLedger(retire, resize, admit)
        self._alive: dict[int, Block] = {}
        self._calls: dict[int, Call] = {}
        self._escaped: dict[int, int] = {}
        self._freeing: dict[int, tuple[int, AllocatorFunction, int, int]] = {}
        """By thread, the fields of its latest `Free`."""
        self._retire = retire
        self._resize = resize
        self._free_older = free_older
        self._admit = admit
        self._displaced: list[Block] = []
        """Blocks that were to be put back, and found others at their addresses."""
        self._admits = True
        self._burst_ns = 0

    @property
    def outstanding(self) -> dict[int, Block]:
        """The blocks of the window that are in the heap now, by address, the latest at the end."""
        return self._alive

    def enter(
        self,
        allocator: int,
        function: AllocatorFunction,
        time_ns: int,
        thread: int,
        stack_pointer: int,
        pointer: int,
        size: int,
        length: int = 0,
        flags: int = 0,
        usable: int = 0,
        is_left_out: bool = False,
        is_strange: bool = False,
    ) -> None:
        """Record a call; `pointer` to `flags` are 0 where the function takes none.

        `usable` is the size of the block that `pointer` names, if known; the others as in `Call`.
        """
        if self._escaped:
            escaped = self._escaped.pop(thread, None)
            if escaped is not None:
                self.unfinished_calls += stack_pointer > escaped
        call = self._calls.get(thread)
        if call:
            nested = stack_pointer < call.stack_pointer
            if nested or (function.is_internal and stack_pointer == call.stack_pointer):
                if call.function.is_internal and not function.allocates:
                    self._find_free(self._alive.get(pointer), time_ns)
                return
            tail_call = stack_pointer == call.stack_pointer and function is not call.function
            self._abandon(thread, call, tail_call)
        if function.mapping is _UNMAP:
            self.mappings.unmap(pointer, length, time_ns)
            return
        if function.is_internal:
            self._calls[thread] = Call(stack_pointer, function, 0, 0, 0, 0, None, 0)
            return
        before = self._freeing.pop(thread, None)
        if not function.allocates:
            free = self._freeing[thread] = allocator, function, stack_pointer, pointer
            block = self._alive.pop(pointer, None)
            if block or (pointer and not (before and Free(*before).calls(Free(*free)))):
                self._end(block, usable, time_ns)
            return
        in_heap = pointer and function.mapping is None
        block = self._alive.pop(pointer, None) if in_heap else None
        self._calls[thread] = Call(
            *(stack_pointer, function, pointer, size, length, flags),
            *(block, usable, is_left_out, is_strange),
        )

    def leave(
        self,
        time_ns: int,
        thread: int,
        stack_pointer: int,
        result: int,
        stored: int,
        stack: int,
        mark: int = 0,
        is_left_out: bool = False,
    ) -> None:
        """Record a return: its value, and what stands where the `result` argument points.

        `mark` is the second word of the block, if that is known; `is_left_out` as in `Call`.
        """
        call = self._calls.get(thread)
        if call is None or stack_pointer < call.stack_pointer:
            return
        if stack_pointer > call.stack_pointer or call.function.is_internal:
            self._abandon(thread, call, tail_call=False)
            return
        del self._calls[thread]
        if call.function.mapping is not None:
            self.mappings.leave(call, result, time_ns, thread, stack)
            return
        if call.function.result is not None:
            result = 0 if result else stored
        is_left_out |= call.is_left_out
        if result and not is_left_out:
            self._hand_out(call, result, time_ns, thread, stack, mark)
        elif call.pointer and (result or not call.size):
            self._end(call.block, call.before, time_ns, call.is_strange)
        else:
            self._put_back(call)

    def leave_internal(self, thread: int, stack_pointer: int) -> None:
        """Record the return of a function that the allocator has called for itself."""
        call = self._calls.get(thread)
        if call and call.function.is_internal and stack_pointer >= call.stack_pointer:
            del self._calls[thread]

    def return_unannounced(
        self,
        function: AllocatorFunction,
        time_ns: int,
        thread: int,
        stack_pointer: int,
        result: int,
        size: int,
        stack: int,
        mark: int = 0,
        is_left_out: bool = False,
    ) -> None:
        """Record a return whose call was not recorded, of a function that takes only a size."""
        call = self._calls.get(thread)
        if call is not None and stack_pointer < call.stack_pointer:
            return
        if call is None or stack_pointer > call.stack_pointer or call.function.is_internal:
            if call is not None:
                self._abandon(thread, call, tail_call=False)
            self._calls[thread] = Call(stack_pointer, function, 0, size, 0, 0, None, 0)
            self.usable_sizes += bool(result) and not is_left_out and self._takes_new(time_ns)
        self._freeing.pop(thread, None)
        self.leave(time_ns, thread, stack_pointer, result, 0, stack, mark, is_left_out)

    def escape(self, thread: int, stack_pointer: int) -> None:
        """Record that a function was left by a way on which it is not seen to return."""
        call = self._calls.get(thread)
        if call and call.stack_pointer == stack_pointer:
            self._abandon(thread, call, tail_call=True)
            self._escaped[thread] = stack_pointer

    def _takes_new(self, time_ns: int) -> bool:  # noqa: ARG002 - for calls that come late
        """Return whether a block counts that was handed out at a time."""
        return self._admits

    def turn(self, phase: Phase, time_ns: int) -> None:
        """Record that other breakpoints are in from now on."""
        admitted = self._admits
        self._admits = self.mappings.admits = phase.admits
        for thread, call in [*self._calls.items()]:
            if not phase.sees(call.function):
                del self._calls[thread]
                self._put_back(call)
        if phase is Phase.NONE:
            self._escaped.clear()
            self._freeing.clear()
            if admitted:
                self._mark_last(time_ns - (time_ns - self._burst_ns) * LAST_SHARE)
        elif not (admitted and self._burst_ns):  # the first one begins with the window
            self._burst_ns = time_ns

    def _mark_last(self, since_ns: float) -> None:
        for block in reversed(self._alive.values()):
            if block.born_ns >= since_ns:
                block.is_last = True
            elif not block.reallocations:  # the others are not in the order of their births
                return

    def find_free(self, blocks: Iterable[tuple[int, int]], time_ns: int) -> None:
        """Record that blocks, by address and time of birth, are free though nobody freed them."""
        for address, born_ns in blocks:
            block = self._alive.get(address)
            if block and block.born_ns == born_ns:
                self._find_free(block, time_ns)

    def reach(self, blocks: Iterable[tuple[int, int, int]]) -> None:
        """Record of blocks, by address and time of birth, what was found: see `Block.reach`."""
        for address, born_ns, state in blocks:
            block = self._alive.get(address) or self.mappings.find(address)
            if block and block.born_ns == born_ns:
                block.reach = state

    def _find_free(self, block: Block | None, time_ns: int) -> None:
        if block:
            del self._alive[block.address]
            self._bury(block, time_ns)
            self.found_free += 1

    def close(self) -> None:
        """End the window: calls under way have done nothing yet."""
        self.unfinished_calls += len(self._escaped)
        for call in self._calls.values():
            self._put_back(call)
        self._calls.clear()

    @property
    def survivors(self) -> list[Block]:
        """The blocks of the window, of the heap and others, that are not freed."""
        in_calls = (call.block for call in self._calls.values() if call.block)
        return [
            *(*self._alive.values(), *self._displaced, *in_calls),
            *self.mappings.survivors,
        ]

    def _hand_out(
        self, call: Call, address: int, time_ns: int, thread: int, stack: int, mark: int
    ) -> None:
        block = call.block
        if block:
            block.allocated_bytes += max(call.size - block.size, 0)
            self.resizes += 1
            block.address, block.mark = address, mark
            self._set_size(block, call.size, time_ns)
        else:
            is_older = bool(call.pointer) and self.counts_older and not call.is_strange
            if is_older:
                self.frees += 1
                self.frees_of_older_blocks += 1
            if not self._takes_new(time_ns):
                self._displace(address, time_ns)
                return
            first = call.before if is_older else call.size
            added = max(call.size - first, 0) if is_older else call.size
            block = Block(
                *(address, first, added, first, time_ns, None, thread, stack, 0, HEAP, is_older),
                *(False, mark, 0),
            )
            self._admit(block)
            if is_older:
                self._set_size(block, call.size, time_ns)
            self.allocations += 1
        self._put_in(block, address, time_ns)

    def _put_in(self, block: Block, address: int, time_ns: int) -> None:
        """Enter a block at its address; what the books held there was freed unseen."""
        self._displace(address, time_ns)
        self._alive[address] = block

    def _displace(self, address: int, time_ns: int) -> None:
        """Take note that an address is handed out: what the books held there was freed unseen."""
        unseen = self._alive.pop(address, None)
        if unseen:
            self._bury(unseen, time_ns)
            self.missed_frees += 1

    def _set_size(self, block: Block, size: int, time_ns: int) -> None:
        before = block.net_bytes
        block.size = size
        block.reallocations += 1
        self._resize(block, block.net_bytes - before, time_ns)

    def _end(
        self, block: Block | None, usable: int, time_ns: int, is_strange: bool = False
    ) -> None:
        if block is None and (is_strange or not self.counts_older):
            return
        self.frees += 1
        if block:
            self._bury(block, time_ns)
        else:
            self.frees_of_older_blocks += 1
            self._free_older(usable, time_ns)

    def _bury(self, block: Block, time_ns: int) -> None:
        block.freed_ns = time_ns
        self._retire(block)

    def _put_back(self, call: Call) -> None:
        if call.block and self._alive.setdefault(call.block.address, call.block) is not call.block:
            self._displaced.append(call.block)

    def _abandon(self, thread: int, call: Call, tail_call: bool) -> None:
        del self._calls[thread]
        self._put_back(call)
        if not (tail_call or call.function.is_internal):
            self.unfinished_calls += 1
