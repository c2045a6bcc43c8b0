"""What the formats for people show of a heap beside its tables, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gdbleak.renderers.heap.memory import (
    allocator_sections,
    kind_section,
    lost_sections,
    mapping_section,
)
from gdbleak.renderers.heap.sections import Layout, Section, arena_section, size_section
from gdbleak.report.heap import HeapReport
from gdbleak.report.heap_findings.model import Finding
from gdbleak.text.lines import Line, printable
from gdbleak.text.units import count_of, format_bytes, format_percent, format_seconds


def sections(report: HeapReport, layout: Layout) -> Iterator[Section]:
    """Yield all tables there are for a report, the most important first."""
    if report.lost:
        yield from lost_sections(report.lost, layout)
    if report.sizes:
        yield size_section(report.sizes, report.in_use, layout)
    if report.arenas:
        yield arena_section(report.arenas, layout)
    yield from allocator_sections(report.allocators, layout)
    if report.mappings:
        yield kind_section(report.mappings)
        yield mapping_section(report.mappings, layout)


def below(report: HeapReport) -> Iterator[Line]:
    """Yield how the census was taken, and the notes."""
    for sentence in describe_taking(report):
        yield Line(sentence)
    for note in report.notes:
        yield Line(f"note: {printable(note)}", indent=6)


def describe_taking(report: HeapReport) -> Iterator[str]:
    """Yield how the census was taken, and how far it can be trusted."""
    taking = report.taking
    took = format_seconds(taking.took_s)
    if taking.read_bytes:
        took += f", {format_bytes(taking.read_bytes)} read"
    at = printable(report.taken_at)
    if report.core:
        yield f"Taken from a core file of {at}: {took}."
    elif taking.pause_ms is None and report.lost and report.lost.looks > 1:
        yield f"Taken at {at}: {took}; each thread was halted for a moment, to see its registers."
    elif taking.pause_ms is None:
        yield f"Taken at {at}: {took}; the process was neither attached to nor stopped."
    else:
        paused = format_seconds(taking.pause_ms / 1000)
        yield f"Taken at {at}: {took}; the process was stopped for {paused}."
    if taking.censuses > 1:
        yield f"{taking.censuses:,} censuses, one every {format_seconds(taking.interval_s)}."
    yield from _doubts(report)


def _doubts(report: HeapReport) -> Iterator[str]:
    unsettled = report.taking.unsettled
    if unsettled.count:
        share = format_percent(unsettled.count, report.in_use.count)
        yield (
            f"{count_of(unsettled.count, 'block')} ({share}) changed whenever they were looked at:"
            " they count as they were seen last."
        )
    if report.taking.unclear_bytes:
        unclear = format_bytes(report.taking.unclear_bytes)
        yield f"In {unclear} of the heap no blocks could be made out."


def finding_lines(findings: Iterable[Finding]) -> Iterator[Line]:
    """Yield what matters, and what to type next."""
    for finding in findings:
        yield Line(finding.text, indent=2, style="alarm" if finding.is_alarm else "plain")
        if finding.command:
            yield Line(f"  Next: {finding.command}", indent=4)
