"""Which of a plan's breakpoints are in, at a time. Pure."""

from __future__ import annotations

from enum import IntEnum

from gdbleak.recording.functions import AllocatorFunction, MappingCall


class Phase(IntEnum):
    """A part of a window, by the breakpoints that are in."""

    ALL = 0
    """Every one."""
    FEWER = 1
    """Not those that tell only a size, where it also stands before the block."""
    FREES = 2
    """Those that tell of the end of a block, or that it is elsewhere now."""
    NONE = 3
    """None: the target runs at full speed."""
    SETTLING = 4
    """Those of FEWER, but no new block counts: a burst has just begun."""

    @property
    def admits(self) -> bool:
        """Whether new blocks are recorded."""
        return self in (Phase.ALL, Phase.FEWER)

    def sees(self, function: AllocatorFunction) -> bool:
        """Whether a call of a function that is under way is seen to return."""
        if self is Phase.FREES:
            return _ends_blocks(function)
        return self is not Phase.NONE


def phases_of(function: AllocatorFunction, is_size_only: bool) -> tuple[Phase, ...]:
    """Return in which phases a breakpoint of a function is in.

    Args:
        function: The function it belongs to.
        is_size_only: Whether it tells nothing but a size that is known without it.

    """
    if is_size_only:
        return (Phase.ALL,)
    if _ends_blocks(function):
        return (Phase.ALL, Phase.FEWER, Phase.FREES, Phase.SETTLING)
    return (Phase.ALL, Phase.FEWER, Phase.SETTLING)


def _ends_blocks(function: AllocatorFunction) -> bool:
    """Whether a function frees, resizes or moves what was handed out before, or seems to."""
    moves = function.mapping in (MappingCall.UNMAP, MappingCall.REMAP)
    return function.pointer is not None or moves or function.is_internal
