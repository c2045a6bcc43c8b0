"""How a process was recorded, and why so. Pure."""

from __future__ import annotations

from dataclasses import dataclass

BREAKPOINTS, BURSTS, INLINE = "breakpoints", "bursts", "inline"


@dataclass(frozen=True)
class Chosen:
    """What was chosen to record a process."""

    kind: str
    """`breakpoints`, which record everything; `bursts` of them, where the budget
    needs that; or `inline`."""
    reason: str
    """Why, as a clause with the numbers that were measured."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"
