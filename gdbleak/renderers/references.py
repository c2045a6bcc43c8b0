"""What refers to blocks, in words: of a call stack, and of a whole report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gdbleak.report.model import Holder, Report, Site, Word
from gdbleak.text.lines import cut, printable
from gdbleak.text.names import shorten
from gdbleak.text.units import count_of, format_bytes, format_seconds
from gdbleak.verdicts.rules import describe_unreached

_GROWS = Word.LEAK, Word.GROWING, Word.SUSPECT
"""Of these it matters whether blocks are lost or kept."""
_HOLDERS = 3
"""So many holders of a site are shown."""
_LIMIT = 100
"""How many characters of a name are shown."""


def describe_references(site: Site, others: Mapping[int, Site] | None = None) -> Iterator[str]:
    """Yield sentences about what refers to the blocks of a site, beside its verdict.

    Args:
        site: Of a report.
        others: The sites of that report by rank, to name those that holders hold blocks through.

    """
    reach = site.reach
    if reach is None:
        return
    word = site.verdict and site.verdict.word
    if reach.freed_after:
        were = "was" if reach.freed_after == 1 else "were"
        blocks = count_of(reach.freed_after, "block")
        yield f"not lost: {blocks} that nothing had referred to {were} freed after all"
    elif reach.unreached and not (reach.is_lost and word in (Word.LEAK, Word.SUSPECT)):
        # Otherwise the evidence says so.
        yield describe_unreached(reach.lost, reach.lost_with, reach.looked_at)
    elif reach.held and reach.is_lost:
        held = f"{reach.held:,} of {count_of(reach.looked_at, 'block')} can be reached"
        yield f"{held}: in use, or a pointer was left behind"
    elif reach.held and not reach.holders and word in _GROWS:
        yield f"kept: {reach.held:,} of {count_of(reach.looked_at, 'block')} can be reached"
    if reach.is_lost:  # what holds the few others tells nothing
        return
    for holder in reach.holders[:_HOLDERS]:
        yield f"held by {_describe_holder(holder, site, others)}"
    more = len(reach.holders) - _HOLDERS
    if more > 0:
        yield f"... {count_of(more, 'more holder')} (JSON lists them all)"


def describe_search(report: Report) -> str | None:
    """Return how memory was searched, and what came of it; None if nobody thought of it."""
    search = report.window.references
    if search is None:
        return None
    if search.reason:
        return f"not searched: {printable(cut(search.reason, _LIMIT))}"
    looks = f"{count_of(search.looks, 'look')} in {format_seconds(search.took_s)}"
    reaches = [site.reach for site in report.sites if site.reach]
    looked_at = sum(reach.looked_at for reach in reaches)
    if not looked_at:
        found = "no outstanding block was looked for"
    else:
        lost, lost_with = (sum(r.lost for r in reaches), sum(r.lost_with for r in reaches))
        found = describe_unreached(lost, lost_with, looked_at, "outstanding block")
    return f"{looks}, {format_bytes(search.scanned_bytes)} read: {found}"


def _describe_holder(holder: Holder, site: Site, others: Mapping[int, Site] | None) -> str:
    text = _show(holder.root)
    if holder.place:
        text += f" ({_show(holder.place)})"
    ways = dict.fromkeys(_name(rank, site, others) for rank in holder.through)
    if ways:
        text += f", through {', '.join(ways)}"
    if holder.blocks < holder.of:
        text += f": {holder.blocks:,} of {count_of(holder.of, 'block')} looked at"
    return text


def _name(rank: int, site: Site, others: Mapping[int, Site] | None) -> str:
    if others is None or rank not in others:
        return "other blocks"
    if rank == site.rank:
        return "others of this stack"
    caller = others[rank].caller
    name = shorten(caller.function, _LIMIT, parameters=False) if caller and caller.function else ""
    return f"{_show(name)} (stack {rank})" if name else f"stack {rank}"


def _show(name: str) -> str:
    return printable(cut(name, _LIMIT))
