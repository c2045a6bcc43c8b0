"""What a ledger counts. Pure."""

from __future__ import annotations


class Counts:
    """The counts of one window."""

    counts_older = True
    """Whether a block that is freed and that nobody knows is one from before the window."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.allocations = 0
        """Blocks of the heap handed out in the window."""
        self.resizes = 0
        """Times that one of them was resized."""
        self.usable_sizes = 0
        """How many of them have a size that was read from before the block."""
        self.found_free = 0
        """Blocks that nobody was seen to free."""
        self.frees = 0
        """Blocks given back, of this window or older."""
        self.frees_of_older_blocks = 0
        self.missed_frees = 0
        """Blocks whose address came again without a free being seen."""
        self.unfinished_calls = 0
        """Calls whose return was never seen although their thread went on."""
