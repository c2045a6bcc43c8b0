"""What a report leaves open, and the command to type next."""

from __future__ import annotations

from gdbleak.renderers.alarms import is_gone
from gdbleak.report.endings import find_doubt
from gdbleak.report.heap_findings.model import describe_range
from gdbleak.report.model import Report, Site, Word
from gdbleak.report.window import GrowingSize
from gdbleak.text.units import count_of, format_percent
from gdbleak.verdicts.strength import SUSPECTED

_LONGER, _LONGEST_S, _MINUTE_S = 6, 3600, 60
"""A window that was too short is proposed anew, so many times as long, within bounds."""

_NOTABLE = 1 << 20
"""Growth by fewer bytes is not worth a search."""
_MANY = 10
"""Nor by fewer blocks of a size."""


def suspected(report: Report) -> list[Site]:
    """Return the call stacks that deserve a look, in the order of the report."""
    return [site for site in report.leaking if site.verdict and site.verdict.word in SUSPECTED]


def undecided(report: Report) -> list[Site]:
    """Return the call stacks of which too few blocks were seen."""
    return [s for s in report.leaking if s.verdict and s.verdict.word is Word.FEW]


def unexplained(report: Report) -> int:
    """Return by how many bytes the process grew for no reason that is known; 0 for little."""
    growth = report.memory.growth
    if growth is None:
        return 0
    rest = growth - (report.memory.explained_bytes or 0)
    return rest if growth >= _NOTABLE and rest > growth / 2 else 0


def unseen_growth(report: Report) -> GrowingSize | None:
    """Return the size of which the heap holds more and more blocks, few of them recorded."""
    for size in report.heap.growing if report.heap else ():
        grown = size.after - size.before
        if grown >= _MANY and size.seen < grown / 2:
            return size
    return None


def describe_unseen(report: Report) -> str | None:
    """Return what the window did not show; None if it showed what there was."""
    sampling = report.window.sampling
    if sampling is not None:
        share = 1 - 1 / max(sampling.scale, 1)
        about = "about "
        if sampling.calls:
            share = 1 - min(sampling.recorded_calls / sampling.calls, 1)
            about = ""
        what = f"{about}{format_percent(share, 1)} of the calls that allocate"
        return f"Not seen: {what}, and any leak among them."
    inline = report.window.inline
    if inline and inline.one_of > 1 and not suspected(report):
        return f"Not seen: {inline.one_of - 1:,} of {inline.one_of:,} blocks, by their addresses."
    few = undecided(report)
    if few and not suspected(report):
        return f"Not seen: what becomes of the blocks of {count_of(len(few), 'call stack')}."
    return None


def next_step(report: Report) -> str | None:
    """Return what to do next, with the command to type; None when nothing is left to do."""
    pid = report.target.pid
    if report.verification.ok is False and not report.verification.death:
        return f"`gdbleak rescue {pid}` looks for what was left in it, and takes it out"
    doubt = find_doubt(report)
    if doubt:
        return doubt[1]
    found = suspected(report)
    gone = is_gone(report.window)
    open_questions = describe_unseen(report) is not None
    size = unseen_growth(report)
    if size and not gone:
        sizes = describe_range(size.low, size.high)
        return f"`gdbleak trace {pid} --size {sizes}` records only these"
    if not open_questions:
        if gone:
            return None
        if unexplained(report):
            if _maps(report):
                return f"`gdbleak trace {pid} --mappings` also records what it maps itself"
            return f"`gdbleak heap {pid}` shows what else grows"
        return _confirm(report, found) if found else None
    if gone:
        return "start it again, and trace it from its beginning"
    if report.window.sampling and not report.window.sizes and _is_glibc(report):
        return f"`gdbleak hunt {pid}` finds the size that grows, and records all of it"
    return f"`{_longer(report)}`"


def _maps(report: Report) -> bool:
    """Whether what grows is probably memory that the process maps itself."""
    heap = report.heap
    is_counted = heap is not None and heap.censuses > 1 and not heap.growing
    return is_counted and all(site.kind == "heap" for site in report.sites)


def _confirm(report: Report, found: list[Site]) -> str | None:
    """Return what makes a suspicion sure, or tells who keeps blocks that are not freed."""
    if all(site.verdict and site.verdict.word is Word.SUSPECT for site in found):
        return f"`{_longer(report)}`, to be sure"
    first = found[0]
    if first.is_lost or (first.reach and first.reach.holders):
        return None
    pid = report.target.pid
    if first.blocks:
        return f"`gdbleak why {pid} {first.blocks[0].address:#x}`: who holds the oldest block"
    return f"`gdbleak why {pid} ADDRESS`: who holds a block (with -a, a report lists addresses)"


def _longer(report: Report) -> str:
    seconds = max(_LONGER * round(report.window.duration_s), _MINUTE_S)
    return f"gdbleak trace {report.target.pid} --duration {min(seconds, _LONGEST_S)}"


def _is_glibc(report: Report) -> bool:
    return report.target.allocator.startswith("glibc")
