"""The first ten lines of a report: what somebody reads who was called at three in the morning."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from posixpath import basename

from gdbleak.renderers.alarms import find_alarms
from gdbleak.renderers.columns import NARROWEST
from gdbleak.renderers.frames import describe, prefix, show_name
from gdbleak.renderers.headline import headline, outlook, rate_of
from gdbleak.renderers.next_step import describe_unseen, next_step, suspected
from gdbleak.renderers.watched import describe_watch
from gdbleak.report.model import Report, Site, Word
from gdbleak.text.lines import Line, cut, fold, printable
from gdbleak.text.names import shorten
from gdbleak.text.units import format_bytes
from gdbleak.verdicts.strength import priority

LINES = 10
"""So many lines the first screen has at most, unless there are more alarms than that."""
MOST = 3
"""So many call stacks are in it at most."""

_INDENT, _HANGING = 5, 2
"""Where the reason of a suspicion begins, and each further line of a sentence."""
_ASIDE = re.compile(r" \([^()]*\)$")
_WORD, _RATE = max(len(word) for word in Word), len("~1,023 KiB/s")


@dataclass(frozen=True)
class Suspect:
    """A call stack that deserves a look."""

    rank: int
    word: str
    rate: str
    function: str
    place: str
    """File and line, or the module; empty if neither is known."""
    reasons: tuple[str, ...]
    """Why it is suspected and who holds its blocks: the first that fits into a line is shown."""


@dataclass(frozen=True)
class FirstScreen:
    """Everything in it, as sentences that are not folded yet."""

    headline: str
    alarms: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    """The most urgent first."""
    outlook: str | None
    watch: str
    unseen: str | None
    next: str | None


def make_first_screen(report: Report) -> FirstScreen:
    """Return what a person must know of a report."""
    found = suspected(report)
    # The report may be sorted by bytes.
    found.sort(key=lambda site: (priority(site.verdict), -site.outstanding_bytes))
    step = next_step(report)
    return FirstScreen(
        headline(report, found),
        tuple(find_alarms(report)),
        tuple(map(_describe, found[:MOST])),
        outlook(report, found),
        describe_watch(report),
        describe_unseen(report),
        step and printable(step),
    )


def lay_out(
    screen: FirstScreen, width: int | None, encode: Callable[[str], str] = str
) -> Iterator[Line]:
    """Yield the lines of a first screen, each of which fits into a width.

    Args:
        screen: What they say.
        width: In characters; None for that of the narrowest terminal.
        encode: Makes the text what the output can show.

    """
    room = max(width or 0, NARROWEST)

    def folded(text: str, style: str = "plain") -> list[Line]:
        lines = fold(encode(text), room, _HANGING).split("\n")
        return [Line(line, style=style) for line in lines]  # type: ignore[arg-type]

    before = folded(screen.headline, "title")
    before += [line for alarm in screen.alarms for line in folded(alarm, "alarm")]
    after = folded(screen.outlook) if screen.outlook else []
    after += folded(screen.watch)
    after += folded(screen.unseen) if screen.unseen else []
    after += folded(f"Next: {screen.next}", "title") if screen.next else []
    left = (LINES - len(before) - len(after)) // 2
    yield from before
    for suspect in screen.suspects[: max(left, 1)]:
        yield Line(_row(suspect, room, encode))
        yield Line(_reason(suspect, room, encode))
    yield from after


def closing(screen: FirstScreen) -> Iterator[Line]:
    """Yield what is said once more at the end of a report that leaves something open."""
    if screen.unseen:
        yield Line("")
        yield Line(screen.unseen, _HANGING)
        if screen.next:
            yield Line(f"Next: {screen.next}", _HANGING, "title")


def _row(suspect: Suspect, width: int, encode: Callable[[str], str]) -> str:
    start = f"{suspect.rank:>3}  {suspect.word:<{_WORD}}  {suspect.rate:>{_RATE}}  "
    place = encode(f"  {suspect.place}" if suspect.place else "")
    place = cut(place, (width - len(start)) // 2)
    return start + cut(encode(suspect.function), width - len(start) - len(place)) + place


def _reason(suspect: Suspect, width: int, encode: Callable[[str], str]) -> str:
    room = width - _INDENT
    texts = [encode(reason) for reason in suspect.reasons] or [""]
    fitting = next((text for text in texts if len(text) <= room), None)
    if fitting is None:
        fitting = texts[-1][: room - 3].rstrip() + "..."
    return " " * _INDENT + fitting


def _describe(site: Site) -> Suspect:
    assert site.verdict is not None  # or it is not suspected
    mark = "~" if site.recorded else ""
    function, place = _name(site)
    return Suspect(
        site.rank,
        site.verdict.word,
        f"{mark}{format_bytes(rate_of(site))}/s",
        prefix(site) + function,
        place,
        tuple(map(printable, _reasons(site))),
    )


def _name(site: Site) -> tuple[str, str]:
    """Return the function of the caller, and where its line is."""
    caller = site.caller
    if site.group:
        return show_name(site.group), ""
    if caller is None:
        return "(unknown)", ""
    if not caller.function:
        return describe(replace(caller, file=None), show=show_name), ""
    place = show_name(basename(caller.file or ""))
    if place and caller.line:
        place += f":{caller.line}"
    elif caller.module and not place:
        place = f"({show_name(basename(caller.module))})"
    return show_name(shorten(caller.function, 40, parameters=False)), place


def _reasons(site: Site) -> Iterator[str]:
    """Yield the evidence and the holder, the longest text first; doubts are never left out."""
    assert site.verdict is not None
    evidence = site.verdict.evidence
    briefly = evidence.partition("; ")[0] if site.verdict.word is not Word.SUSPECT else evidence
    for holder in site.reach.holders[:1] if site.reach and not site.is_lost else ():
        held_by = f"held by {show_name(holder.root)}"
        place = f" ({show_name(holder.place)})" if holder.place else ""
        # Where to look is worth more than how fast it grows, which stands above.
        for holds in dict.fromkeys((held_by + place, held_by)):
            yield f"{evidence}; {holds}"
            yield f"{briefly}; {holds}"
    yield evidence
    yield _ASIDE.sub("", evidence)
    yield briefly
