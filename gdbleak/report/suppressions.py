"""Call stacks that nobody wants to see, in the syntax of LeakSanitizer. Pure.

Source: https://github.com/google/sanitizers/wiki/AddressSanitizerLeakSanitizer#suppressions. A line
is `leak:PATTERN`, or a comment that begins with `#`. A pattern is looked for in the function, the
file and the module of every frame; `*` stands for anything, `^` and `$` for the ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gdbleak.errors import UsageError
from gdbleak.report.model import Report, Site
from gdbleak.report.window import Suppressed

_KIND = "leak:"


@dataclass(frozen=True)
class Suppression:
    """One line."""

    pattern: str
    """Without its kind."""

    def matches(self, site: Site) -> bool:
        """Whether a frame of a site is meant."""
        search = _compile(self.pattern).search
        return any(
            search(text)
            for frame in site.frames
            for text in (frame.function, frame.file, frame.module)
            if text
        )


def parse(lines: Iterable[str], path: str) -> tuple[Suppression, ...]:
    """Return what a file says.

    Args:
        lines: Its lines.
        path: To name in errors.

    Raises:
        UsageError: a line makes no sense.

    """
    found = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        if not line.startswith(_KIND) or line == _KIND:
            raise UsageError(
                f"line {number} of {path} is not a suppression: {line}",
                "write lines such as `leak:function_name`",
            )
        found.append(Suppression(line[len(_KIND) :].strip()))
    return tuple(found)


def suppress(report: Report, suppressions: Iterable[Suppression]) -> Report:
    """Return a report without the sites that are suppressed, and with what they hold."""
    suppressions = tuple(suppressions)
    if not suppressions:
        return report
    used: set[Suppression] = set()
    kept: list[Site] = []
    gone: list[Site] = []
    for site in report.sites:
        meant = [suppression for suppression in suppressions if suppression.matches(site)]
        used.update(meant)
        (gone if meant else kept).append(site)
    unused = (
        f"the suppression `{suppression.pattern}` matches no call stack"
        for suppression in suppressions
        if suppression not in used
    )
    ranks = {site.rank: rank for rank, site in enumerate(kept, start=1)}
    return replace(
        report,
        sites=tuple(_renumber(site, ranks) for site in kept),
        suppressed=Suppressed(
            len(gone),
            sum(site.outstanding_bytes for site in gone),
            sum(site.outstanding_count for site in gone),
        ),
        notes=(*report.notes, *unused),
    )


def _renumber(site: Site, ranks: Mapping[int, int]) -> Site:
    """Return a site with new ranks, by the old ones; a site without one is not named any more."""
    reach = site.reach
    if reach is not None:
        holders = tuple(
            replace(holder, through=tuple(ranks[n] for n in holder.through if n in ranks))
            for holder in reach.holders
        )
        reach = replace(reach, holders=holders)
    return replace(site, rank=ranks[site.rank], reach=reach)


def _compile(pattern: str) -> re.Pattern[str]:
    start = "^" if pattern.startswith("^") else ""
    end = "$" if pattern.endswith("$") else ""
    inner = pattern[len(start) : len(pattern) - len(end)]
    return re.compile(start + ".*".join(map(re.escape, inner.split("*"))) + end, re.DOTALL)
