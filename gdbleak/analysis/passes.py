"""From a recording to a report: replay, unwinding, symbols, one site for each call stack."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from gdbleak.analysis.allocator_mappings import AllocatorMappings
from gdbleak.analysis.callers import Wrappers
from gdbleak.analysis.grouping import BY, Key, part_of, regroup
from gdbleak.analysis.sites import Resolver, SiteMaker
from gdbleak.analysis.tally import Tally
from gdbleak.bounds import bounded, check_bounds
from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError, UsageError
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.ledger.heap import Ledger
from gdbleak.ledger.replay import Replay
from gdbleak.recording.end import TARGET_ENDED, UNFINISHED, End, EndedBy
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.recording.phases import Phase
from gdbleak.recording.reader import Hit, Recording, Resident, Turn, reading
from gdbleak.report.history import PARTS, QUARTER, Series, Span
from gdbleak.report.model import (
    Estimate,
    History,
    MemoryInfo,
    Report,
    Sampling,
    Site,
    TargetInfo,
    WindowInfo,
)
from gdbleak.report.suppressions import Suppression, suppress
from gdbleak.unwinding.stacks import Unwinder
from gdbleak.verdicts.outlook import explain_rest, look_ahead
from gdbleak.verdicts.sampling import choose_scale, estimate, measure_sampling
from gdbleak.verdicts.turnover import UNKNOWN, size_class

_WITHOUT_MODULES = (*TARGET_ENDED, EndedBy.TARGET_EXEC, EndedBy.RUNNING)

SORTS = ("verdict", "bytes", "count")


@dataclass(frozen=True)
class ReportOptions:
    """Which blocks a report is about, and in which order it lists their stacks."""

    min_size: int = bounded(0, 0)
    """Only blocks of at least so many requested bytes."""
    max_size: int | None = bounded(None, 0)
    older_ms: float = bounded(500.0, 0)
    """Only blocks at least this old at the end of the window count as outstanding."""
    sort: str = "verdict"
    """By `verdict`, and for equal ones by outstanding bytes; or by these `bytes`, or `count`."""
    max_frames: int = bounded(64, 1)
    skip: tuple[str, ...] = ()
    """Functions that are not named as callers, beside the usual ones; `*` is anything."""
    by: str = "stack"
    """What makes a site, one of `gdbleak.analysis.grouping.BY`."""
    suppressions: tuple[Suppression, ...] = ()
    """Which sites are left out."""
    listed_blocks: int = bounded(0, 0)
    """How many outstanding blocks of each call stack are listed, the oldest first."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UsageError: a number is out of range, or they contradict each other.

        """
        check_bounds(self)
        if self.max_size is not None and self.max_size < self.min_size:
            raise UsageError(
                f"the largest size, {self.max_size}, is below the smallest, {self.min_size}",
                "swap them, or leave one out",
            )
        if self.by not in BY:
            raise UsageError(f"by, {self.by!r}, is none of {', '.join(BY)}")
        if self.sort not in SORTS:
            raise UsageError(f"sort, {self.sort!r}, is none of {', '.join(SORTS)}")


@dataclass
class Analysis:
    """A recording on its way to a report."""

    recording: Recording
    modules: ModuleMap
    options: ReportOptions
    images: ImageCache = field(default_factory=ImageCache)
    notes: list[str] = field(default_factory=list)
    _tallies: dict[Key, Tally] = field(default_factory=dict)
    _growth: dict[int, Series] = field(default_factory=dict)
    """Of the blocks that were resized and not added yet, by their identity."""
    _older_frees: dict[int, list[int]] = field(default_factory=dict)
    """Older blocks that were freed in each quarter of the window, by the class of their size."""

    def make_report(self, resolve: Resolver) -> Report:
        """Compute the report.

        Args:
            resolve: Turns return addresses into frames.

        Raises:
            RecordingError: the recording is damaged.

        """
        with reading(self.recording.path):
            return self._make_report(resolve)

    def _make_report(self, resolve: Resolver) -> Report:
        recording = self.recording
        replay = Replay(
            recording.head.probes,
            recording.head.functions,
            self._add,
            self._resize,
            self._free_older,
        )
        called: set[int] = set()
        turns = []
        resident = []
        for event in recording.iter_events():
            replay.feed(event)
            if isinstance(event, Hit):
                called.add(event.probe)
            elif isinstance(event, Turn):
                turns.append(event)
            elif isinstance(event, Resident):
                resident.append(event)
        ledger = replay.ledger
        if ledger.usable_sizes:
            self.notes.append(_explain_sizes(ledger))
        ledger.close()
        head, end = recording.head, self._end
        if recording.end and not end.modules and end.ended_by not in _WITHOUT_MODULES:
            self.notes.append(
                "nobody was let see what the process had mapped at the end: of libraries that were"
                " loaded in the window nothing is known"
            )
        if end.stop_signal and end.verification.state_after == "T":
            self.notes.append(
                f"the process is stopped by a {end.stop_signal} that somebody sent it in the"
                " window; SIGCONT continues it"
            )
        span = self._span
        duration_s = span.window_ns / 1e9
        if any(turn.phase is Phase.NONE and turn.time_ns >= span.closed_ns for turn in turns):
            self.notes.append(
                "in the tail, frees were recorded in bursts only, to keep to --budget"
            )
        calls = ledger.allocations + ledger.resizes
        sampling = measure_sampling(turns, span.closed_ns, calls, head.rate)
        for block in ledger.survivors:
            self._add(block)
        frames_of = resolve({address for key in self._tallies for address in key.stack.addresses})
        wrappers = Wrappers(self.options.skip)
        self._tallies, labels = regroup(self._tallies, self.options.by, frames_of, wrappers)
        estimates: dict[Key, Estimate] = {}
        if sampling:
            sampling, estimates = self._estimate(sampling, duration_s)
        maker = SiteMaker(
            self.options.sort,
            wrappers,
            frames_of,
            labels,
            duration_s,
            span.end_ns,
            self._older_frees,
            self.options.listed_blocks,
        )
        sites = maker.make(self._tallies, estimates)
        allocator = recording.name_allocators(called)
        report = Report(
            target=TargetInfo(**vars(head.target), allocator=allocator),
            window=WindowInfo(
                started=head.started,
                duration_s=duration_s,
                ended_by=end.ended_by.value,
                complete=recording.end is not None,
                events=replay.events,
                allocations=ledger.allocations,
                frees=ledger.frees,
                frees_of_older_blocks=ledger.frees_of_older_blocks,
                missed_frees=ledger.missed_frees,
                lost_events=end.lost_events + ledger.unfinished_calls,
                children=end.children,
                stops=end.stops,
                stopped_s=_bound(end.stopped_s, (span.end_ns - span.opened_ns) / 1e9),
                longest_pause_ms=end.longest_pause_ms,
                longest_pause_is_least=end.longest_pause_is_least,
                tail_s=(span.end_ns - span.closed_ns) / 1e9,
                found_free=ledger.found_free,
                sampling=sampling,
            ),
            memory=self._explain_memory(_sum_up(ledger, sites), sampling is not None),
            verification=end.verification,
            sites=sites,
            notes=(*head.notes, *self.notes),
            history=_tell_history(span, sites, resident),
            outlook=look_ahead(sites, head.limit),
        )
        return suppress(report, self.options.suppressions)

    @property
    def _end(self) -> End:
        return self.recording.end or UNFINISHED

    @cached_property
    def _span(self) -> Span:
        """When the window was opened and closed, and its tail ended."""
        recording = self.recording
        end_ns = self._end.end_ns or recording.last_ns
        # Without a beginning there was no window: the process ended while it was attached to.
        opened_ns = end_ns if recording.opened_ns is None else recording.opened_ns
        end_ns = max(end_ns, opened_ns)
        closed_ns = end_ns
        if recording.head.tail_s:
            closed_ns = min(end_ns, opened_ns + round(recording.head.duration_s * 1e9))
        return Span(opened_ns, closed_ns, end_ns)

    def _resize(self, block: Block, by: int, time_ns: int) -> None:
        """Keep by how much a block grew until it is known whether it counts."""
        self._growth.setdefault(id(block), Series()).add(self._span.part(time_ns), by)

    def _free_older(self, size: int, time_ns: int) -> None:
        part = self._span.part(time_ns)
        if part < PARTS:
            kind = size_class(size) if size else UNKNOWN
            self._older_frees.setdefault(kind, [0] * 4)[part // QUARTER] += 1

    def _add(self, block: Block) -> None:
        """Add a block to its site: one that was freed at once, so that it need not be kept."""
        options = self.options
        growth = self._growth.pop(id(block), None)
        if block.size < options.min_size:
            return
        if options.max_size is not None and block.size > options.max_size:
            return
        stack, registers = self.recording.stack(block.stack)
        call_stack = self._unwinder.unwind(stack, registers["rsp"], registers)
        if block.kind != HEAP and self._own_mappings.include(call_stack):
            return
        key = Key(call_stack, block.kind, part_of(block, options.by))
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(self._span)
        tally.add(block, growth, options.older_ms * 1e6)

    @cached_property
    def _unwinder(self) -> Unwinder:
        return Unwinder(self.modules, self._open_image, self.options.max_frames)

    @cached_property
    def _effort(self) -> Effort:
        """What reading the files of all modules may take."""
        return Effort()

    @cached_property
    def _own_mappings(self) -> AllocatorMappings:
        return AllocatorMappings(self.recording, self.modules, self._open_image)

    def _open_image(self, module: Module) -> ElfImage | None:
        try:
            if module.file is not None:
                return self.images.open(module.file, self._effort.share())
            self.notes.append(f"no unwinding through {module.path}: {module.unreadable}")
        except ElfError as error:
            self.notes.append(f"no unwinding through {module.path}: {error}")
        return None

    def _estimate(
        self, sampling: Sampling, duration_s: float
    ) -> tuple[Sampling, dict[Key, Estimate]]:
        """Return what a recorded block stands for, and what that makes of each site.

        What counts is blocks that get old: a quarter of the time, so that most of them had that
        time.
        """
        age_ns = self._span.observed_ns / 4
        samples = {key: tally.sample() for key, tally in self._tallies.items()}
        before, after = self._resident
        growth = None if before is None or after is None else max(after - before, 0)
        sampling = choose_scale(
            sampling, samples.values(), age_ns, growth, self.recording.head.rate
        )
        return sampling, {
            key: estimate(sample, sampling, age_ns, duration_s) for key, sample in samples.items()
        }

    def _explain_memory(self, outstanding: int, estimated: bool) -> MemoryInfo:
        before, after = self._resident
        if before is None or after is None:
            return MemoryInfo(before, after, None)
        growth = after - before
        rest = explain_rest(
            self.recording.head.memory, self._end.memory, growth, outstanding, estimated
        )
        return MemoryInfo(before, after, max(min(growth, outstanding), 0), rest)

    @property
    def _resident(self) -> tuple[int | None, int | None]:
        """Resident set before and after the window."""
        return self.recording.head.rss_before, self._end.rss_after


def _bound(seconds: float | None, whole_s: float) -> float | None:
    """Return for how long the target stood still: never for longer than it was recorded.

    It is measured up to the detach, and what is recorded ends a moment before.
    """
    return None if seconds is None else min(seconds, whole_s)


def _explain_sizes(ledger: Ledger) -> str:
    """Return the sentence about sizes that were read from before the blocks."""
    if ledger.usable_sizes == ledger.allocations:
        return "sizes are those that glibc reserved for blocks, not those asked for"
    return (
        f"the sizes of {ledger.usable_sizes:,} blocks are those that glibc reserved for them, not"
        " those asked for"
    )


def _sum_up(ledger: Ledger, sites: Iterable[Site]) -> int:
    """Return how many bytes of the heap stay: as estimated, where it was sampled."""
    estimates = [site.estimate.outstanding_bytes for site in sites if site.estimate]
    return sum(estimates or (block.net_bytes for block in ledger.outstanding.values()))


def _tell_history(span: Span, sites: Iterable[Site], resident: Iterable[Resident]) -> History:
    """Return how all sites, and the resident set, changed."""
    sizes: list[int | None] = [None] * (PARTS + 1)
    for event in resident:
        sizes[span.part(event.time_ns)] = event.size
    totals = [0] * PARTS
    for site in sites:
        totals = [total + size for total, size in zip(totals, site.history)]
    return History(span.times_s(), tuple(totals), tuple(sizes[:PARTS]))
