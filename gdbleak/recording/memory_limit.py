"""How much memory a process may use. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MemoryLimit:
    """The bound that is the first to be reached."""

    limit_bytes: int
    used_bytes: int
    """By all who share it, less what can be taken back from the cache of files."""
    of: str
    """Whose it is: `control group` or `machine`."""

    @property
    def left_bytes(self) -> int:
        """How much is left until it is reached."""
        return max(self.limit_bytes - self.used_bytes, 0)
