"""Call stacks that were unwound before, known again by the words that led through them. Pure.

A program allocates from the same places again and again, each time with the same return addresses
at the same distances from the stack pointer. Which words an unwinding went by is a small part of
the recorded stack. Where these are the same again, so is the call stack.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

_WORD = Struct("<Q")
_MOST = 8192
"""So many call stacks are kept, a kilobyte or two each; then all of them are forgotten."""
_MOST_SEEN = 1 << 14
"""So many places are kept of which only one stack was seen; then all of these are forgotten."""
_MOST_OF_PLACE = 8
"""So many are kept of one place: to compare more would take longer than to unwind."""


class CallStack(NamedTuple):
    """From where a function was called, and its caller, and so on."""

    addresses: tuple[int, ...]
    """Return addresses, innermost first."""
    truncated: bool
    """True when the stack goes on beyond what could be unwound."""


class _Known(NamedTuple):
    words: Struct
    """Unpacks the words that the unwinding went by."""
    values: tuple[int, ...]
    """What they were."""
    frame_pointer: int | None
    """What its register held, where the unwinding went by that."""
    call_stack: CallStack


class KnownStacks:
    """Call stacks by what an unwinding went by.

    They are kept by stack pointer, so that saved frame pointers can be compared as they are; by the
    size of the slice, which decides where a long stack is cut; and by the first return address.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[int, int, int], list[_Known]] = {}
        self._count = 0
        self._layouts: dict[tuple[int, ...], Struct] = {}
        self._seen: set[int] = set()

    def find(
        self, stack: bytes | memoryview, stack_pointer: int, frame_pointer: int
    ) -> CallStack | None:
        """Return the call stack of a slice of the stack; None if it is not known."""
        if len(stack) < _WORD.size:
            return None
        place = (stack_pointer, len(stack), _WORD.unpack_from(stack)[0])
        for words, values, needed, call_stack in self._places.get(place, ()):
            if words.unpack_from(stack) == values and needed in (None, frame_pointer):
                return call_stack
        return None

    def add(
        self,
        stack: bytes | memoryview,
        stack_pointer: int,
        frame_pointer: int | None,
        offsets: Iterable[int],
        call_stack: CallStack,
    ) -> None:
        """Keep a call stack, if there was one from its place before.

        Args:
            stack: The slice it was unwound from.
            stack_pointer: Where that begins.
            frame_pointer: What the register held; None where that made no difference.
            offsets: Of all words in the slice that made one.
            call_stack: What has come of it.

        """
        place = (stack_pointer, len(stack), _WORD.unpack_from(stack)[0])
        if self._is_new(place):
            return
        if self._count == _MOST:
            self._places.clear()
            self._layouts.clear()
            self._count = 0
        words = self._lay_out(tuple(sorted({*offsets})))
        if words is None:
            return
        same = self._places.setdefault(place, [])
        if len(same) == _MOST_OF_PLACE:
            del same[0]
        else:
            self._count += 1
        same.append(_Known(words, words.unpack_from(stack), frame_pointer, call_stack))

    def _is_new(self, place: tuple[int, int, int]) -> bool:
        """Whether nothing has come from a place so far, as is usual of a stack that varies."""
        number = hash(place)
        if place in self._places or number in self._seen:
            return False
        if len(self._seen) == _MOST_SEEN:
            self._seen.clear()
        self._seen.add(number)
        return True

    def _lay_out(self, offsets: tuple[int, ...]) -> Struct | None:
        """Return what unpacks the words at some offsets; None for words that overlap."""
        if offsets not in self._layouts:
            layout, end = "<", 0
            for offset in offsets:
                if offset < end:
                    return None
                layout += f"{offset - end}xQ"
                end = offset + _WORD.size
            self._layouts[offsets] = Struct(layout)
        return self._layouts[offsets]
