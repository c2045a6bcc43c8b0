"""The report, put together from what the passes have found. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gdbleak.analysis.collect import Collected
from gdbleak.analysis.estimates import Estimates, file_growth, resident_growth, resident_sizes
from gdbleak.analysis.heap_levels import describe_heap, note_unseen
from gdbleak.analysis.notes import iter_notes
from gdbleak.ledger.blocks import HEAP, MAPPING
from gdbleak.ledger.heap import Ledger
from gdbleak.recording.end import TARGET_ENDED, UNFINISHED
from gdbleak.recording.events import Resident
from gdbleak.recording.reader import Recording
from gdbleak.report.history import PARTS, Span
from gdbleak.report.model import Report, Site
from gdbleak.report.window import History, MemoryInfo, TargetInfo, WindowInfo
from gdbleak.verdicts.levels import Levels
from gdbleak.verdicts.outlook import doubt_outlook, explain_rest, growth_of_leaks, look_ahead


def assemble(
    recording: Recording,
    collected: Collected,
    estimates: Estimates,
    sites: tuple[Site, ...],
    levels: Levels,
    older_ms: float,
) -> Report:
    """Return the report of a recording, with nothing suppressed."""
    head, end = recording.head, recording.end or UNFINISHED
    rate = growth_of_leaks(sites, estimates.one_of > 1)
    leaked = rate * collected.span.window_ns / 1e9
    doubt = doubt_outlook(leaked, resident_growth(recording), estimates.sampling is not None)
    allocator = ", ".join(recording.find_allocators(collected.called))
    has_ended = end.ended_by in TARGET_ENDED
    return Report(
        target=TargetInfo(**vars(head.target), allocator=allocator),
        window=_describe_window(recording, collected, estimates),
        memory=_explain_memory(recording, collected.ledger, sites, estimates),
        verification=end.verification,
        sites=sites,
        heap=describe_heap(end.heap, levels),
        notes=(
            *iter_notes(recording, collected, estimates.speed),
            *note_unseen(head.target.pid, levels),
            *filter(None, [doubt]),
        ),
        history=_tell_history(collected.span, sites, collected.resident),
        # What has been used since the head was written is as good as nothing.
        outlook=None if doubt or has_ended else look_ahead(rate, head.limit),
        older_ms=older_ms,
    )


def _describe_window(
    recording: Recording, collected: Collected, estimates: Estimates
) -> WindowInfo:
    end, span, ledger = recording.end or UNFINISHED, collected.span, collected.ledger
    return WindowInfo(
        started=recording.head.started,
        duration_s=span.window_ns / 1e9,
        ended_by=end.ended_by,
        complete=recording.end is not None,
        events=collected.events,
        allocations=ledger.allocations,
        frees=ledger.frees,
        frees_of_older_blocks=ledger.frees_of_older_blocks,
        missed_frees=ledger.missed_frees,
        lost_events=end.lost_events + ledger.unfinished_calls,
        children=end.children,
        stops=end.stops,
        stopped_s=_bound(end.stopped_s, span.observed_ns / 1e9),
        longest_pause_ms=end.longest_pause_ms,
        longest_pause_is_least=end.longest_pause_is_least,
        tail_s=max((end.searched_ns or span.end_ns) - span.closed_ns, 0) / 1e9,
        found_free=ledger.found_free,
        sampling=estimates.sampling,
        speed=estimates.speed,
        probe=recording.head.chosen,
        max_pause_ms=end.max_pause_ms,
        inline=end.inline,
        references=end.references,
        sizes=recording.head.sizes,
    )


def _bound(seconds: float | None, whole_s: float) -> float | None:
    """Return for how long the target stood still: never for longer than it was recorded.

    It is measured up to the detach, and what is recorded ends a moment before.
    """
    return None if seconds is None else min(seconds, whole_s)


def _explain_memory(
    recording: Recording, ledger: Ledger, sites: Collection[Site], estimates: Estimates
) -> MemoryInfo:
    """Return by how much the resident set grew, and what explains that."""
    before, after = resident_sizes(recording)
    if before is None or after is None:
        return MemoryInfo(before, after, None, outstanding_bytes=_sum_up(ledger, sites))
    growth, outstanding = after - before, _sum_up(ledger, sites)
    after_window = (recording.end or UNFINISHED).memory
    rest = explain_rest(
        recording.head.memory,
        after_window,
        growth,
        outstanding,
        bool(estimates.of_sites),
        some_sizes=bool(recording.head.sizes),
        with_mappings=any(f.mapping is not None for f in recording.head.functions),
    )
    mapped = sum(site.outstanding_bytes for site in sites if site.kind == MAPPING)
    explained = None if estimates.sampling else max(min(growth, outstanding + mapped), 0)
    return MemoryInfo(before, after, explained, rest, outstanding, file_growth(recording))


def _sum_up(ledger: Ledger, sites: Iterable[Site]) -> int:
    """Return how many bytes of the heap stay: as estimated, where it was sampled."""
    estimates = [site.outstanding_bytes for site in sites if site.recorded and site.kind == HEAP]
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
