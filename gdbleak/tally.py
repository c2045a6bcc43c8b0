"""What is added up for one site, a block at a time. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from gdbleak.blocks import Block
from gdbleak.sampling import Sample


@dataclass
class Tally:
    """What is added up for a call stack."""

    outstanding_bytes: int = 0
    outstanding_count: int = 0
    allocated_bytes: int = 0
    allocated_count: int = 0
    freed_count: int = 0
    oldest_ns: int | None = None
    older_bytes: int = 0
    older_count: int = 0
    size: int = 0
    """Of all blocks, together."""
    freed_ages: array[int] = field(default_factory=lambda: array("q"))
    alive_ages: array[int] = field(default_factory=lambda: array("q"))

    def add(self, block: Block, end_ns: int, older_ns: float) -> None:
        """Add a block.

        Args:
            block: One of the site.
            end_ns: When the window ended; of a block that was freed it does not matter.
            older_ns: How old a block has to be to count as outstanding.

        """
        self.allocated_bytes += block.allocated_bytes
        self.allocated_count += 1
        alive = block.freed_ns is None
        if not block.is_older and not (block.is_last and alive):
            ages = self.alive_ages if alive else self.freed_ages
            ages.append((block.freed_ns or end_ns) - block.born_ns)
            self.size += block.size or block.allocated_bytes
        elif block.is_older and alive:
            self.older_count += 1
            self.older_bytes += block.size
        if block.freed_ns is not None:
            self.freed_count += 1
        elif end_ns - block.born_ns >= older_ns:
            self.outstanding_bytes += block.size
            self.outstanding_count += 1
            self.oldest_ns = min(block.born_ns, self.oldest_ns or block.born_ns)

    def sample(self) -> Sample:
        """Return what is needed to estimate from a sample."""
        count = len(self.freed_ages) + len(self.alive_ages)
        return Sample(
            self.freed_ages,
            self.alive_ages,
            self.size / max(count, 1),
            self.older_count,
            self.older_bytes,
        )
