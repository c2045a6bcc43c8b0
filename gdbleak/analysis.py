"""From a recording to a report: replay, unwinding, symbols, one site for each call stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from gdbleak.blocks import HEAP, Block
from gdbleak.bounds import bounded, check_bounds
from gdbleak.callers import Wrappers, find_caller
from gdbleak.elf import ElfImage
from gdbleak.errors import ElfError, UsageError
from gdbleak.ledger import Ledger
from gdbleak.modules import Module, ModuleMap
from gdbleak.phases import Phase
from gdbleak.rates import Rate
from gdbleak.recording import EndedBy, Hit, Recording, Turn, reading
from gdbleak.replay import Replay
from gdbleak.report import (
    Estimate,
    Frame,
    MemoryInfo,
    Report,
    Sampling,
    Site,
    TargetInfo,
    Verification,
    WindowInfo,
)
from gdbleak.sampling import choose_scale, estimate, measure_sampling
from gdbleak.stacks import CallStack, Unwinder
from gdbleak.tally import Tally

SORTS = ("bytes", "count")

_Key = tuple[CallStack, str]
"""What makes a site: where memory was handed out, and of which kind."""

Resolver = Callable[[Iterable[int]], "dict[int, tuple[Frame, ...]]"]


@dataclass(frozen=True)
class ReportOptions:
    """Which blocks a report is about, and in which order it lists their stacks."""

    min_size: int = bounded(0, 0)
    """Only blocks of at least so many requested bytes."""
    max_size: int | None = bounded(None, 0)
    older_ms: float = bounded(500.0, 0)
    """Only blocks at least this old at the end of the window count as outstanding."""
    sort: str = "bytes"
    """By outstanding `bytes` or `count`."""
    max_frames: int = bounded(64, 1)
    skip: tuple[str, ...] = ()
    """Functions that are not named as callers, beside `gdbleak.callers`' own; `*` is anything."""

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
        if self.sort not in SORTS:
            raise UsageError(f"sort, {self.sort!r}, is none of {', '.join(SORTS)}")


@dataclass
class Analysis:
    """A recording on its way to a report."""

    recording: Recording
    modules: ModuleMap
    options: ReportOptions
    notes: list[str] = field(default_factory=list)
    _tallies: dict[_Key, Tally] = field(default_factory=dict)

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
        replay = Replay(recording.probes, recording.functions, self._add)
        called: set[int] = set()
        last_ns = 0
        turns = []
        for event in recording.iter_events():
            replay.feed(event)
            last_ns = event.time_ns
            if isinstance(event, Hit):
                called.add(event.probe)
            elif isinstance(event, Turn):
                turns.append(event)
        ledger = replay.ledger
        if ledger.usable_sizes:
            self.notes.append(_explain_sizes(ledger))
        ledger.close()
        survivors = ledger.survivors
        end = recording.end or {}
        if end.get("stop_signal") and end["verification"]["state_after"] == "T":
            self.notes.append(
                f"the process is stopped by a {end['stop_signal']} that somebody sent it in the"
                " window; SIGCONT continues it"
            )
        opened_ns = recording.opened_ns or 0
        end_ns = end.get("end_ns") or max(last_ns, opened_ns)
        closed_ns = end_ns
        if recording.head["tail_s"]:
            closed_ns = min(end_ns, opened_ns + round(recording.head["duration_s"] * 1e9))
        duration_s = (closed_ns - opened_ns) / 1e9
        if any(turn.phase is Phase.NONE and turn.time_ns >= closed_ns for turn in turns):
            self.notes.append(
                "in the tail, frees were recorded in bursts only, to keep to --budget"
            )
        rate = Rate(**recording.head["rate"])
        calls = ledger.allocations + ledger.resizes
        sampling = measure_sampling(turns, closed_ns, calls, rate)
        for block in survivors:
            self._add(block, end_ns)
        estimates: dict[_Key, Estimate] = {}
        if sampling:
            sampling, estimates = self._estimate(sampling, end_ns - opened_ns, duration_s)
        sites = self._make_sites(estimates, end_ns, duration_s, resolve)
        return Report(
            target=TargetInfo(
                **recording.head["target"], allocator=_name_allocators(recording, called)
            ),
            window=WindowInfo(
                started=recording.head["started"],
                duration_s=duration_s,
                ended_by=end.get("ended_by", EndedBy.UNKNOWN.value),
                complete=recording.end is not None,
                events=replay.events,
                allocations=ledger.allocations,
                frees=ledger.frees,
                frees_of_older_blocks=ledger.frees_of_older_blocks,
                missed_frees=ledger.missed_frees,
                lost_events=end.get("lost_events", 0) + ledger.unfinished_calls,
                children=end.get("children", 0),
                stops=end.get("stops"),
                stopped_s=end.get("stopped_s"),
                longest_pause_ms=end.get("longest_pause_ms"),
                tail_s=(end_ns - closed_ns) / 1e9,
                found_free=ledger.found_free,
                sampling=sampling,
            ),
            memory=_explain_memory(*self._resident, _sum_up(ledger, sites)),
            verification=Verification(
                **end.get("verification", dict.fromkeys(Verification.__dataclass_fields__))
            ),
            sites=sites,
            notes=(*recording.head["notes"], *self.notes),
        )

    def _add(self, block: Block, end_ns: int = 0) -> None:
        """Add a block to its site: one that was freed at once, so that it need not be kept."""
        options = self.options
        if block.size < options.min_size:
            return
        if options.max_size is not None and block.size > options.max_size:
            return
        stack, registers = self.recording.stack(block.stack)
        call_stack = self._unwinder.unwind(stack, registers["rsp"], registers)
        if block.kind != HEAP and self._is_allocators_own(call_stack):
            return
        tally = self._tallies.setdefault((call_stack, block.kind), Tally())
        tally.add(block, end_ns, options.older_ms * 1e6)

    @cached_property
    def _unwinder(self) -> Unwinder:
        return Unwinder(self.modules, self._open_image, self.options.max_frames)

    def _is_allocators_own(self, stack: CallStack) -> bool:
        """Whether an allocator made a mapping, for its own use, in no call that is recorded."""
        module = self.modules.find(stack.addresses[0] - 1) if stack.addresses else None
        if module is not None and module.path in self._allocators:
            return True
        return any(address - 1 in free for address in stack.addresses for free in self._frees)

    @cached_property
    def _frees(self) -> list[range]:
        """Where the code of functions is that free: nobody waits for their returns.

        A thread whose first call is a `free` has glibc make an arena, of 64 MiB, in it.
        """
        functions = {function.name: function for function in self.recording.functions}
        found = []
        for probe in self.recording.probes:
            function = functions[probe.function]
            module = self.modules.find(probe.address)
            if function.allocates or function.mapping or module is None:
                continue
            image = self._open_image(module)
            extent = image and image.find_extent(probe.address - module.bias)
            if extent:
                found.append(range(extent.start + module.bias, extent.stop + module.bias))
        return found

    @cached_property
    def _allocators(self) -> set[str]:
        """Paths of allocators that are neither the program nor the C library."""
        recording = self.recording
        functions = {function.name: function for function in recording.functions}
        paths: dict[bool, set[str]] = {True: set(), False: {recording.head["target"]["exe"]}}
        for probe in recording.probes:
            module = self.modules.find(probe.address)
            if module is not None:
                paths[functions[probe.function].mapping is None].add(module.path)
        return paths[True] - paths[False]

    def _open_image(self, module: Module) -> ElfImage | None:
        try:
            if module.file is not None:
                return ElfImage(module.file)
            self.notes.append(f"no unwinding through {module.path}: {module.unreadable}")
        except ElfError as error:
            self.notes.append(f"no unwinding through {module.path}: {error}")
        return None

    def _estimate(
        self, sampling: Sampling, observed_ns: int, duration_s: float
    ) -> tuple[Sampling, dict[_Key, Estimate]]:
        """Return what a recorded block stands for, and what that makes of each site.

        What counts is blocks that get old: a quarter of the time, so that most of them had that
        time.
        """
        age_ns = observed_ns / 4
        samples = {key: tally.sample() for key, tally in self._tallies.items()}
        before, after = self._resident
        growth = None if before is None or after is None else max(after - before, 0)
        scale = choose_scale(sampling, samples.values(), age_ns, growth)
        sampling = replace(sampling, scale=scale)
        return sampling, {
            key: estimate(sample, sampling, age_ns, duration_s) for key, sample in samples.items()
        }

    @property
    def _resident(self) -> tuple[int | None, int | None]:
        """Resident set before and after the window."""
        return self.recording.head.get("rss_before"), (self.recording.end or {}).get("rss_after")

    def _make_sites(
        self,
        estimates: dict[_Key, Estimate],
        end_ns: int,
        duration_s: float,
        resolve: Resolver,
    ) -> tuple[Site, ...]:
        def order(entry: tuple[_Key, Tally]) -> tuple[int, ...]:
            (stack, kind), tally = entry
            values = estimates.get((stack, kind), tally)
            sizes = (values.outstanding_bytes, values.outstanding_count)
            first, second = sizes if self.options.sort == "bytes" else sizes[::-1]
            return -first, -second, -tally.allocated_bytes, *stack.addresses

        wrappers = Wrappers(self.options.skip)
        tallies = self._tallies
        frames_of = resolve({address for stack, _ in tallies for address in stack.addresses})
        sites = []
        for rank, ((stack, kind), tally) in enumerate(sorted(tallies.items(), key=order), start=1):
            frames = tuple(frame for address in stack.addresses for frame in frames_of[address])
            oldest_ns = tally.oldest_ns
            sites.append(
                Site(
                    rank=rank,
                    outstanding_bytes=tally.outstanding_bytes,
                    outstanding_count=tally.outstanding_count,
                    allocated_bytes=tally.allocated_bytes,
                    allocated_count=tally.allocated_count,
                    freed_count=tally.freed_count,
                    bytes_per_s=tally.outstanding_bytes / duration_s if duration_s else 0.0,
                    oldest_s=None if oldest_ns is None else (end_ns - oldest_ns) / 1e9,
                    caller=find_caller(frames, wrappers),
                    truncated=stack.truncated,
                    frames=frames,
                    kind=kind,
                    estimate=estimates.get((stack, kind)),
                )
            )
        return tuple(sites)


def _explain_sizes(ledger: Ledger) -> str:
    """Return the sentence about sizes that were read from before the blocks."""
    if ledger.usable_sizes == ledger.allocations:
        return "sizes are those that glibc reserved for blocks, not those asked for"
    return (
        f"the sizes of {ledger.usable_sizes:,} blocks are those that glibc reserved for them, not"
        " those asked for"
    )


def _name_allocators(recording: Recording, called: set[int]) -> str:
    """Return which allocators were called in the window; without a call, who would have been."""
    names = recording.head["allocators"]
    heap = {function.name for function in recording.functions if function.mapping is None}
    probes = (recording.probes[number] for number in called)
    used = sorted({probe.allocator for probe in probes if probe.function in heap})
    return ", ".join(names[number] for number in used or (0,))


def _sum_up(ledger: Ledger, sites: Iterable[Site]) -> int:
    """Return how many bytes of the heap stay: as estimated, where it was sampled."""
    estimates = [site.estimate.outstanding_bytes for site in sites if site.estimate]
    return sum(estimates or (block.size for block in ledger.outstanding.values()))


def _explain_memory(before: int | None, after: int | None, outstanding: int) -> MemoryInfo:
    if before is None or after is None:
        return MemoryInfo(before, after, None)
    return MemoryInfo(before, after, max(min(after - before, outstanding), 0))
