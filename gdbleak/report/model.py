"""What is computed from a recording, and what every renderer shows.

These are plain values: a `Report` can be built by hand in a test, compared, and rendered
without a process, a debugger or a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.recording.chosen import Chosen
from gdbleak.recording.end import EndedBy, Inline, References, Verification
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


LOST_BLOCKS, LOST_TENTHS = 5, 9
"""So many blocks, and so many tenths of those that were looked for, make a call stack lost."""


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
        are_most = 10 * self.unreached >= LOST_TENTHS * self.looked_at
        return are_enough and are_most and not self.freed_after


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
    history: History = History()
    outlook: Outlook | None = None
    """None when nothing leaks, or nobody can say."""
    suppressed: Suppressed | None = None
    """None when nothing was to be left out."""
    heap: HeapWindow | None = None
    """None in recordings of earlier versions."""

    @property
    def leaking(self) -> tuple[Site, ...]:
        """Sites with outstanding blocks, in the order of the report."""
        return tuple(site for site in self.sites if site.outstanding_count)
