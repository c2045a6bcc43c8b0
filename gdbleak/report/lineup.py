"""The processes of a host that grow, as they are shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.recording.memory_limit import MemoryLimit
from gdbleak.report.runtimes import Runtime
from gdbleak.report.trend import Trend

STEADY = 0.5
"""What rises less steadily than this is listed behind all that does."""


@dataclass(frozen=True)
class Suspect:
    """A process, and how its memory grows."""

    pid: int
    command: str
    age_s: float
    private_bytes: int
    """Anonymous memory now, what is swapped out included: what a leak makes larger."""
    trend: Trend
    """In bytes and seconds."""
    history: tuple[int, ...]
    """`private_bytes` of each look."""
    runtime: Runtime | None
    """None for what is plain native code."""
    limit: MemoryLimit | None
    container: str | None = None
    """Short id or name of the container it is in."""

    @property
    def grows(self) -> bool:
        """Whether it grows, and steadily."""
        return self.trend.slope > 0 and self.trend.steadiness >= STEADY

    @property
    def reached_in_s(self) -> float | None:
        """When it reaches its limit at this rate."""
        if not self.grows or self.limit is None:
            return None
        return self.limit.left_bytes / self.trend.slope


@dataclass(frozen=True)
class Lineup:
    """What was found."""

    suspects: tuple[Suspect, ...]
    """Those that grow, the steadiest and fastest first, then those that grow unsteadily."""
    looks: int
    processes: int
    """How many were there from the first look to the last."""
    unreadable: int
    """How many of the others could not be looked at."""
    ended: int
    """How many came or went meanwhile."""
    kernel: tuple[str, ...] = ()
    """Sentences about the kernel's own memory, where that is what grows."""
