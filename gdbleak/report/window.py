"""What a report says of the window and of the process as a whole; its call stacks are in `model`.

Plain values, as all of a report.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.recording.chosen import Chosen
from gdbleak.recording.end import EndedBy, Inline, References


@dataclass(frozen=True)
class TargetInfo:
    """The process that was traced."""

    pid: int
    command: str
    exe: str | None
    started: str | None
    """When the process began, ISO 8601 with its offset from UTC."""
    threads: int
    allocator: str
    namespace_pid: int | None = None
    """Its PID as it knows it itself, in a container say; None when that is the same."""


@dataclass(frozen=True)
class Sampling:
    """Of a window that was recorded in bursts: how much of it was."""

    bursts: int
    recorded_s: float
    recorded_calls: int
    """Calls that allocate or resize."""
    calls: int | None
    """How many there were, by the rate that was measured before the window; None without one."""
    scale: float
    """What a recorded block is taken to stand for: by the share of the calls that was recorded,
    or by that of the time where the former is not known. Between these two:"""
    scale_low: float
    """By the share of the time that was recorded."""
    scale_high: float
    """By the share of the calls, where that is known."""
    never_freed: float = 0.0
    """Which share of blocks seems never freed though it was, by those that live for microseconds:
    their frees came after the burst."""

    @property
    def dilation(self) -> float:
        """How many times slower the process ran in bursts than on its own, as far as is known."""
        return self.scale_high / self.scale_low if self.scale_low else 1.0


@dataclass(frozen=True)
class WindowInfo:
    """The time in which allocations and frees were recorded, and what that cost."""

    started: str
    """ISO 8601 with its offset from UTC."""
    duration_s: float
    ended_by: EndedBy
    complete: bool
    """False when the recording is cut off: it ends before the window did."""
    events: int
    allocations: int
    frees: int
    frees_of_older_blocks: int
    missed_frees: int
    """Blocks whose address was handed out again without a free being seen."""
    lost_events: int
    """Events known to have happened that the recording does not hold."""
    children: int
    """Processes that the target started; they are not traced. Inline, those that were seen."""
    stops: int | None
    stopped_s: float | None
    """Time in which the target stood still; an estimate, see docs/how-it-works.md."""
    longest_pause_ms: float | None
    """For how long a thread stood still at once, at the longest."""
    tail_s: float = 0.0
    """For how long after the window it was recorded what became of its blocks."""
    found_free: int = 0
    """Blocks that were found to be free although nobody was seen to free them."""
    sampling: Sampling | None = None
    """None when everything was recorded."""
    longest_pause_is_least: bool = False
    """Whether the longest pause may have been much longer than what was seen of it."""
    max_pause_ms: float | None = None
    """For how long a thread was allowed to stand still at once; None where nobody has said."""
    speed: float | None = None
    """Which share of its usual work the process did in the window, by its calls of the allocator
    before it and in it; None where that is not known, or nothing slowed it."""
    probe: Chosen | None = None
    """How it was recorded, and why so; None where nobody has said."""
    inline: Inline | None = None
    """None when breakpoints recorded."""
    references: References | None = None
    """None where nobody has thought of searching the memory."""

    sizes: tuple[int, ...] = ()
    """The smallest and the largest request whose blocks were recorded; empty for all."""

    @property
    def observed_s(self) -> float:
        """For how long anything was recorded: in the window, its tail, and the search of memory."""
        return self.duration_s + self.tail_s + (self.references.took_s if self.references else 0)


@dataclass(frozen=True)
class MemoryInfo:
    """Resident set of the target, in bytes; None where it could not be read."""

    rss_before: int | None
    rss_after: int | None
    explained_bytes: int | None
    """As much of the growth as outstanding blocks can account for; None where these are estimated
    from bursts, for then it would not be known but guessed."""
    rest: tuple[str, ...] = ()
    """Sentences about what the rest of the growth may be."""
    outstanding_bytes: int | None = None
    """What outstanding blocks of the heap hold together: to compare with the growth."""
    file_bytes: int = 0
    """How much of the growth are pages of files, which the kernel takes back if need be: whoever
    reads the memory of a process, as gdbleak does, brings some in."""

    @property
    def growth(self) -> int | None:
        """By how much it grew, pages of files left out; None where that is not known."""
        if self.rss_before is None or self.rss_after is None:
            return None
        return self.rss_after - self.rss_before - max(self.file_bytes, 0)


@dataclass(frozen=True)
class History:
    """The window as a whole, at the ends of equal parts of it."""

    times_s: tuple[float, ...] = ()
    """Seconds since the window began."""
    outstanding_bytes: tuple[int, ...] = ()
    """What was recorded and not freed by then."""
    rss: tuple[int | None, ...] = ()
    """Resident set in bytes; None where it was not read."""


NO_HISTORY = History()


@dataclass(frozen=True)
class Outlook:
    """What becomes of the process if it goes on as in the window."""

    bytes_per_s: float
    """By how much the sites grow that leak, together."""
    limit_bytes: int | None = None
    """How much memory may be used, by the process and those that share the limit with it."""
    limit_of: str | None = None
    """Whose limit it is: `control group` or `machine`."""
    reached_in_s: float | None = None
    """When it will be, counted from the end of the window; None if never."""


@dataclass(frozen=True)
class Suppressed:
    """What a report leaves out because the user asked for that."""

    sites: int
    outstanding_bytes: int
    outstanding_count: int


@dataclass(frozen=True)
class GrowingSize:
    """A size of which the heap held more and more blocks, throughout the window."""

    low: int
    """Size of the smallest of them, in bytes that the program may use."""
    high: int
    """Size of the largest."""
    before: int
    """How many blocks the heap held when the window began."""
    after: int
    """And when it was over."""
    blocks_per_s: float
    """By how many it grew a second: the median over all pairs of censuses."""
    seen: float
    """By how many it grew as recorded, with what each recorded block stands for."""


@dataclass(frozen=True)
class HeapWindow:
    """What censuses of the heap in the window have found."""

    censuses: int
    took_s: float
    """How long the longest of them took."""
    reason: str | None = None
    """Why there is none, as a part of a sentence; None when there are some."""
    growing: tuple[GrowingSize, ...] = ()
    """Sizes that grow throughout, those of most bytes a second first."""
