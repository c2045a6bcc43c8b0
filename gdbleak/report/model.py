"""What is computed from a recording, and what every renderer shows.

These are plain values: a `Report` can be built by hand in a test, compared, and rendered
without a process, a debugger or a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.recording.end import Verification
from gdbleak.report.window import (
    NO_HISTORY,
    HeapWindow,
    History,
    MemoryInfo,
    Outlook,
    Suppressed,
    TargetInfo,
    WindowInfo,
)
from gdbleak.text.choices import Choice

SCHEMA = "gdbleak.report/2"


@dataclass(frozen=True)
class Frame:
    """One function on a call stack; inlined functions are frames of their own."""

    address: int
    """Return address in the target (the address after the call)."""
    module: str | None = None
    """Path of the program or library, as the target knows it."""
    offset: int | None = None
    """`address` as an address of the module's ELF file, before relocation."""
    function: str | None = None
    """Demangled name, or None without a symbol."""
    file: str | None = None
    line: int | None = None
    inlined: bool = False
    """True for a function whose body stands inside the next frame's."""


@dataclass(frozen=True)
class Recorded:
    """What was recorded of a site in a window that was recorded in part."""

    outstanding_bytes: int
    outstanding_count: int
    allocated_bytes: int
    allocated_count: int
    freed_count: int


@dataclass(frozen=True)
class OutstandingBlock:
    """A block that was handed out in the window, and is not freed."""

    address: int
    size: int
    """In bytes, as asked for."""
    age_s: float
    """At the end of the window."""
    thread: int
    """Who allocated it."""


class Word(Choice):
    """What a site is called; docs/verdicts.md defines each."""

    LEAK = "leak"
    SUSPECT = "leak?"
    GROWING = "growing"
    CACHE = "cache?"
    TURNOVER = "turnover?"
    CHURN = "churn"
    FEW = "too few"


@dataclass(frozen=True)
class Verdict:
    """What a site deserves to be called, and why."""

    word: Word
    evidence: str
    """A clause that says what the word rests on."""
    lasting: float | None = None
    """Which share of the site's blocks is not freed by the age of `age_s`; None without blocks."""
    lasting_low: float | None = None
    lasting_high: float | None = None
    """With a confidence of 95 %, it lies between these two."""
    age_s: float | None = None
    net_share: float = 1.0
    """Which part of its outstanding bytes the process has grown by: older blocks made room for the
    others."""
    strength: float = 0.0
    """How strong the evidence is that blocks stay, from 0 to 1; `gdbleak.verdicts.strength`."""


LOST_BLOCKS = 5
"""So many blocks make a call stack lost."""
MOST_TENTHS = 9
"""So many tenths of the blocks that were looked for have to be lost, or held, for it to be so."""


@dataclass(frozen=True)
class Holder:
    """Who holds blocks of a site, by a sample of them."""

    blocks: int
    """How many of the sample it holds."""
    of: int
    """How many are in the sample."""
    root: str
    """What refers to them from outside the recorded blocks: the name of a variable, a thread's
    stack, a register, or a place in a file or in memory."""
    place: str | None = None
    """Where that is defined, if it is known."""
    through: tuple[int, ...] = ()
    """Ranks of the sites whose blocks lie between, as far as is known, the nearest to the held
    blocks first."""


@dataclass(frozen=True)
class Reach:
    """What a search for references has found about the outstanding blocks of a site."""

    looked_at: int
    """How many were looked for: the four numbers that follow, together."""
    lost: int
    """Nothing in the process refers to them."""
    lost_with: int
    """Only lost blocks refer to them."""
    held: int
    """They can be reached from outside the recorded blocks."""
    unknown: int
    """It could not be told."""
    looks: int
    """How often the memory was read; 0 where that is not known."""
    freed_after: int = 0
    """Blocks that were freed although nothing had referred to them: something holds blocks of this
    site in a way that cannot be seen."""
    holders: tuple[Holder, ...] = ()
    """The one that holds most of the sample first."""

    @property
    def unreached(self) -> int:
        """How many blocks cannot be reached."""
        return self.lost + self.lost_with

    @property
    def is_lost(self) -> bool:
        """Whether the site as a whole cannot be reached any more; docs/verdicts.md has the rule."""
        are_enough = self.unreached >= LOST_BLOCKS
        are_most = 10 * self.unreached >= MOST_TENTHS * self.looked_at
        return are_enough and are_most and not self.freed_after

    @property
    def is_held(self) -> bool:
        """Whether the site as a whole is in use: its blocks are kept, not lost."""
        return 0 < MOST_TENTHS * self.looked_at <= 10 * self.held


@dataclass(frozen=True)
class Site:
    """A distinct call stack that allocates, and what became of its blocks."""

    rank: int
    """From 1, in the order the report is sorted by."""
    outstanding_bytes: int
    """These are of the whole window: counted, or estimated where `recorded` is not None."""
    outstanding_count: int
    allocated_bytes: int
    allocated_count: int
    freed_count: int
    bytes_per_s: float
    """Outstanding bytes divided by the length of the window."""
    oldest_s: float | None
    """Age at the end of the window of the oldest outstanding block; None without one."""
    caller: Frame | None
    """First frame that is neither allocator nor wrapper; None for a stack without frames."""
    truncated: bool
    """True when the stack goes on beyond what could be unwound."""
    frames: tuple[Frame, ...]
    """Innermost first; the allocator's own functions are not among them."""
    kind: str = "heap"
    """`heap`, `mapping` for anonymous memory of the kernel, or `file mapping`."""
    outstanding_bytes_low: int | None = None
    outstanding_bytes_high: int | None = None
    """With a confidence of 95 %, `outstanding_bytes` lies between these two; None when it was
    counted."""
    recorded: Recorded | None = None
    """What the estimates above are made from; None when everything was recorded."""
    verdict: Verdict | None = None
    group: str | None = None
    """What several call stacks have in common that are one site; its frames are those of the one
    that holds the most. None for a call stack of its own."""
    history: tuple[int, ...] = ()
    """Outstanding bytes at the times of the report's `history`."""
    blocks: tuple[OutstandingBlock, ...] = ()
    """Outstanding blocks, the oldest first, as many as were asked for."""
    reach: Reach | None = None
    """None when no block of it was looked for in the memory of the process."""

    @property
    def is_lost(self) -> bool:
        """Whether its verdict rests on blocks that nothing refers to any more."""
        is_leak = self.verdict is not None and self.verdict.word is Word.LEAK
        return is_leak and self.reach is not None and self.reach.is_lost

    @property
    def counted(self) -> Recorded | Site:
        """What was recorded of it: all that it did, or a part from which that is estimated."""
        return self.recorded or self


@dataclass(frozen=True)
class Report:
    """Everything gdbleak has to say about one window."""

    target: TargetInfo
    window: WindowInfo
    memory: MemoryInfo
    verification: Verification
    sites: tuple[Site, ...]
    """Every site with at least one block in the window, sorted, ranked from 1."""
    notes: tuple[str, ...] = ()
    """Sentences about what could not be known, for the reader of this report."""
    history: History = NO_HISTORY
    outlook: Outlook | None = None
    """None when nothing leaks, or nobody can say."""
    suppressed: Suppressed | None = None
    """None when nothing was to be left out."""
    heap: HeapWindow | None = None
    """None in recordings of earlier versions."""
    older_ms: float | None = None
    """How old a block had to be at the end to be outstanding; None in reports of earlier
    versions."""

    @property
    def leaking(self) -> tuple[Site, ...]:
        """Sites with outstanding blocks, in the order of the report."""
        return tuple(site for site in self.sites if site.outstanding_count)
