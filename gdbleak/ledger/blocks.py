"""What every ledger keeps: a piece of memory that was handed out, and what became of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

HEAP = "heap"
MAPPING = "mapping"
FILE_MAPPING = "file mapping"

LAST_SHARE = 0.25
"""Of a burst, the part whose blocks are its last."""


@dataclass
class Block:
    """One allocation of the window; times are nanoseconds on the recording's clock."""

    __slots__ = (
        "address",
        "allocated_bytes",
        "born_ns",
        "first_size",
        "freed_ns",
        "is_last",
        "is_older",
        "kind",
        "mark",
        "reach",
        "reallocations",
        "size",
        "stack",
        "thread",
    )

    address: int
    size: int
    """Bytes requested, by the latest call that sized it."""
    allocated_bytes: int
    """Bytes requested in all: the first size and every growth since."""
    first_size: int
    """Bytes requested at first; of an older block, what it had before it was resized, or 0 where
    that is not known."""
    born_ns: int
    freed_ns: int | None
    """When it was freed, or found to have been freed unseen; None while outstanding."""
    thread: int
    stack: int
    """Position in the recording of the return that handed it out first: its raw stack is there.
    Whoever is told of new blocks may put in place of it what the call stack is known by."""
    reallocations: int
    kind: str
    """HEAP, or how its memory was mapped."""
    is_older: bool
    """It existed before it was recorded, and was resized since."""
    is_last: bool
    """It was handed out at the end of a burst: if it was freed at once, nobody could see that."""
    mark: int
    """Its second word when it was handed out, or 0 if that is not known. Since glibc 2.34 it may be
    what marks blocks that are free: see `gdbleak.heap.tcache`."""
    reach: int
    """What was found when the memory of the process was searched for references to it, a number of
    `gdbleak.recording.references`; 0 if it was not looked for."""

    @property
    def net_bytes(self) -> int:
        """Bytes of it that the window accounts for: of an older block, what it has grown by."""
        return max(self.size - self.first_size, 0) if self.is_older else self.size
