"""The verdict on a process in words: the first line of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from posixpath import basename

from gdbleak.renderers.next_step import undecided, unexplained, unseen_growth
from gdbleak.report.heap_findings.model import describe_range
from gdbleak.report.model import Report, Site, Word
from gdbleak.text.lines import printable
from gdbleak.text.units import count_of, format_bytes, format_percent, format_seconds

_LONGEST = 40
"""How many characters of the name of a process are shown."""
_SOON_S = 90 * 86400
"""What lies further ahead is no reason to hurry."""


def rate_of(site: Site) -> float:
    """Return by how many bytes a second a call stack grows, what it replaces left out."""
    return site.bytes_per_s * (site.verdict.net_share if site.verdict else 1.0)


def headline(report: Report, found: Sequence[Site]) -> str:
    """Return who leaks, how fast, and from how many call stacks; or that nobody seems to.

    Args:
        report: Of a window.
        found: The call stacks that are suspected.

    """
    who = _name(report)
    sure = [s for s in found if s.verdict and s.verdict.word is not Word.SUSPECT]
    if sure:
        more = len(found) - len(sure)
        return f"{who} {_tell(sure)}{f'; {more:,} more may leak' if more else ''}."
    if found:
        stacks = count_of(len(found), "call stack")
        return f"{who} may leak {_sum(found)}: {stacks} {_are(found)} suspected."
    window = format_seconds(report.window.duration_s)
    if not report.leaking:
        return f"{who}: {nothing_outstanding(report)}"
    few = undecided(report)
    if few:
        stacks = count_of(len(few), "call stack")
        return f"{who}: too early to say. {stacks} {_have(few)} too few blocks yet."
    stacks = count_of(len(report.leaking), "call stack")
    if any(site.verdict is None for site in report.leaking):
        return f"{who}: blocks of {stacks} were not freed in {window}."
    hold = "holds" if len(report.leaking) == 1 else "hold"
    words = Counter(site.verdict.word for site in report.leaking if site.verdict)
    which = ", ".join(f"{count:,} {word}" for word, count in words.most_common())
    return f"{who}: no leak was found in {window}; {stacks} {hold} blocks: {which}."


def _tell(sure: Sequence[Site]) -> str:
    """Return how much a process leaks, and by how much it grows beside that."""
    leaks = [site for site in sure if site.verdict and site.verdict.word is Word.LEAK]
    grows = [site for site in sure if site not in leaks]
    told = [
        f"{verb} {_sum(sites)}, from {count_of(len(sites), 'call stack')}"
        for verb, sites in (("leaks", leaks), ("grows by", grows))
        if sites
    ]
    return ", and ".join(told)


def outlook(report: Report, found: Sequence[Site]) -> str | None:
    """Return that memory grows for an unknown reason, or when it runs out; None for neither.

    Args:
        report: Of a window.
        found: The call stacks that are suspected.

    """
    size = unseen_growth(report)
    if size:
        sizes = describe_range(size.low, size.high)
        grown = f"{size.before:,} -> {size.after:,}"
        return f"The heap holds ever more blocks of {sizes} bytes, few of them seen: {grown}."
    if unexplained(report):
        growth = report.memory.growth or 0
        text = f"The process grew by {format_bytes(growth)}"
        explained = report.memory.explained_bytes
        if explained is None:
            return f"{text}; it is not known how much of that these blocks explain."
        return f"{text}; outstanding blocks explain {format_percent(explained, growth)} of that."
    ahead = report.outlook
    if not (found and ahead) or ahead.limit_bytes is None or ahead.reached_in_s is None:
        return None
    if ahead.reached_in_s > _SOON_S:
        return None
    limit = f"the {format_bytes(ahead.limit_bytes)} of its {ahead.limit_of}"
    return f"At this rate it reaches {limit} in about {format_seconds(ahead.reached_in_s)}."


def nothing_outstanding(report: Report) -> str:
    """Return why a report shows no call stack."""
    window = report.window
    seconds = format_seconds(window.duration_s)
    if not (window.allocations or report.sites):
        if window.sizes:
            return "no block of the sizes that were recorded was allocated in the window."
        if window.inline and window.inline.one_of > 1:
            return "none of the blocks that were recorded was allocated in the window."
        if window.sampling:
            return "nothing was allocated while it was recorded."
        return "nothing was allocated in the window."
    if window.sampling or window.lost_events or not window.complete:
        return "nothing was found in what was recorded, which is not all that happened."
    if window.inline and window.inline.one_of > 1:
        return f"no leak was found in what was recorded, 1 block in {window.inline.one_of:,}."
    by = "--older or a size limit"
    if report.suppressed and report.suppressed.sites:
        by = "--suppress, --older or a size limit"
    return f"no leak was found. What it allocated in {seconds} it freed, or {by} leaves it out."


def _sum(sites: Sequence[Site]) -> str:
    about = "about " if any(site.recorded for site in sites) else ""
    return f"{about}{format_bytes(sum(map(rate_of, sites)))}/s"


def _name(report: Report) -> str:
    """Return the command without its folder, and its PID."""
    target = report.target
    first, *others = target.command.split() or ["(unknown)"]  # some pad their titles
    name = " ".join((basename(first) or first, *others))
    if len(name) > _LONGEST:
        name = name[: _LONGEST - 3].rstrip() + "..."
    return f"{printable(name)} ({describe_pid(report)})"


def describe_pid(report: Report) -> str:
    """Return the PID, and the one that the process knows itself by where that is another."""
    target = report.target
    if target.namespace_pid is None:
        return f"pid {target.pid}"
    return f"pid {target.pid}, {target.namespace_pid} in its container"


def _are(sites: Sequence[Site]) -> str:
    return "is" if len(sites) == 1 else "are"


def _have(sites: Sequence[Site]) -> str:
    return "has" if len(sites) == 1 else "have"
