"""What becomes of a process that goes on as in the window, and where else its memory goes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gdbleak.recording.memory_limit import MemoryLimit
from gdbleak.report.model import Site, Word
from gdbleak.report.window import Outlook
from gdbleak.text.units import format_bytes

_GROWING = {
    False: (Word.LEAK, Word.GROWING),
    True: (Word.LEAK, Word.GROWING, Word.SUSPECT),
}
"""Which verdicts count, in a window that was sampled or not: a sample allows suspicions only."""

_LITTLE = 0.5
"""What leaks explains little of the growth, or the growth little of it, below this share."""

_SLACK = 1 << 20
"""By so many bytes a resident set grows or shrinks for other reasons than the share tells."""

_NOTABLE = 0.05
"""A smaller share of the growth is not worth a sentence."""

_KINDS = (
    ("RssFile", "are pages of files that were read or run; the kernel takes them back if need be"),
    ("RssShmem", "are shared memory"),
    ("VmStk", "are the stack of the main thread"),
)


def growth_of_leaks(sites: Iterable[Site], by_address: bool = False) -> float:
    """Return by how many bytes a second those sites grow together that leak.

    Args:
        sites: Of the report.
        by_address: Whether estimates are by blocks of which all was recorded: as good as a whole.

    """
    return sum(
        site.bytes_per_s * site.verdict.net_share
        for site in sites
        if site.verdict and site.verdict.word in _GROWING[bool(site.recorded) and not by_address]
    )


def doubt_outlook(leaked: float, growth: int | None, from_bursts: bool) -> str | None:
    """Return why nothing follows for the process from what leaks; None where it does.

    Args:
        leaked: Bytes by which what leaks grew in the window.
        growth: Bytes by which the resident set did; None where that is not known.
        from_bursts: Whether the former is estimated from bursts.

    """
    if growth is None or not leaked:
        return None
    what = f"what leaks grew by {'about ' * from_bursts}{format_bytes(leaked)}"
    grown = f"grew by {format_bytes(growth)}" if growth >= 0 else "shrank"
    if leaked < _LITTLE * growth - _SLACK:
        return f"no outlook: {what}, but the resident set {grown}: most of that is something else"
    if from_bursts and growth < _LITTLE * leaked - _SLACK:
        return (
            f"no outlook: {what}, but the resident set {grown}: the estimate may be too high, or"
            " blocks fill memory that had been freed before"
        )
    return None


def look_ahead(rate: float, limit: MemoryLimit | None) -> Outlook | None:
    """Return when what leaks and grows reaches a limit; None when nothing does.

    Args:
        rate: What `growth_of_leaks` returned.
        limit: That of the process after the window, if it is known.

    """
    if not rate:
        return None
    if limit is None:
        return Outlook(rate)
    return Outlook(rate, limit.limit_bytes, limit.of, limit.left_bytes / rate)


def explain_rest(
    before: Mapping[str, int],
    after: Mapping[str, int],
    growth: int,
    outstanding: int,
    estimated: bool = False,
    some_sizes: bool = False,
    with_mappings: bool = False,
) -> tuple[str, ...]:
    """Return sentences about the part of the growth that outstanding blocks do not explain.

    Args:
        before: What `gdbleak.target.proc.memory_status` said before the window.
        after: And after it.
        growth: Bytes by which the resident set grew.
        outstanding: Bytes of outstanding blocks.
        estimated: Whether they are estimated from a sample.
        some_sizes: Whether only blocks of some sizes were recorded.
        with_mappings: Whether mappings of the program were recorded too, and are in the report.

    """
    notable = max(abs(growth) * _NOTABLE, 1 << 16)
    rest = growth - outstanding
    if -rest > notable and estimated:
        return (
            f"that is {format_bytes(-rest)} less than is estimated to be outstanding: blocks fill"
            " memory that had been freed before, or the estimate is too high",
        )
    if -rest > notable:
        return (
            f"outstanding blocks hold {format_bytes(-rest)} more than that: they fill memory that"
            " had been freed before, or were never written to",
        )
    said = []
    for name, text in _KINDS:
        more = after.get(name, 0) - before.get(name, 0)
        if more > notable:
            said.append(f"{format_bytes(more)} {text}")
            rest -= more
    threads = after.get("Threads", 0) - before.get("Threads", 0)
    if threads > 0 and rest > notable:
        said.append(f"there are {threads:,} more threads, each with a stack")
    if rest > notable and some_sizes:
        said.append(
            f"{format_bytes(rest)} are something else, such as blocks of other sizes, which"
            " were not recorded"
        )
    elif rest > notable and estimated:
        said.append(
            f"{format_bytes(rest)} are not accounted for: the sample may stand for more than is"
            " estimated, or other memory has grown"
        )
    elif rest > notable:
        mappings = (
            "those mappings that the report shows"
            if with_mappings
            else "mappings of the program's own (see --mappings)"
        )
        said.append(
            f"{format_bytes(rest)} are something else: freed blocks that the allocator keeps, gaps"
            f" between blocks (fragmentation), or {mappings}"
        )
    return tuple(said)
