"""The screen of an open window: what stands on it, and what keys change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rich.text import Text

from gdbleak.capture.limits import Progress
from gdbleak.renderers.frames import describe_caller
from gdbleak.renderers.stack_lines import stack_lines
from gdbleak.report.model import Report, Site
from gdbleak.text.lines import printable
from gdbleak.text.sparkline import draw_bars
from gdbleak.text.units import format_bytes, format_count, format_percent, format_seconds, plural

HELP = "q end  p pause  sort v verdict b bytes n blocks g growth o oldest  enter stack"

SORTS = {"v": "verdict", "b": "bytes", "n": "blocks", "g": "growth", "o": "oldest"}
_HEADERS = ("Bytes", "Blocks", "Growth/s", "Oldest", "Verdict", "Trend")
_LEFT_OUT = ("Oldest", "Trend", "Blocks", "Verdict")
"""Columns that are left out on a narrow terminal, in this order."""
_CALLER_WIDTH = 24
"""How many characters of a caller there has to be room for."""
_BAR_COUNT = 8
_MOST = 200
"""How many rows one can scroll through."""
_LATE_S = 3.0
"""The age from which on the screen says how old its report is."""
_VERDICT_STYLES = {"leak": "red", "leak?": "red", "growing": "yellow"}

_Key = tuple[str, tuple[int, ...]]


def identify(site: Site) -> _Key:
    """Return what identifies a site from one report to the next.

    Inlined functions do not count: they are only known once symbols were read.
    """
    return site.kind, tuple(frame.address for frame in site.frames if not frame.inlined)


def growth_per_s(report: Report, site: Site) -> float:
    """Return how fast a site grew in the last quarter of the window so far, in bytes per second."""
    parts = len(site.history)
    if not parts or not report.window.duration_s:
        return 0.0
    quarter = parts // 4
    grown = site.history[-1] - site.history[-1 - quarter]
    return grown / (report.window.duration_s * quarter / parts)


class _Row(NamedTuple):
    """A line of the table, or one of a stack below it."""

    text: Text
    site: int
    """Which site it belongs to."""


@dataclass
class Screen:
    """What is shown, and how."""

    pid: int
    budget_percent: float
    sort: str = "verdict"
    paused: bool = False
    problem: str = ""
    """Why there are no new reports."""
    _selected: _Key | None = None
    _widened: set[_Key] = field(default_factory=set)
    _top: int = 0
    """First row of the table that is shown."""

    def press(self, key: str, report: Report | None) -> None:
        """Do what a key asks for; keys without a meaning do nothing."""
        if key in SORTS:
            self.sort = SORTS[key]
        elif key == "p":
            self.paused = not self.paused
        elif report and key in ("up", "down", "enter"):
            keys = [identify(site) for site in self._order(report)]
            if keys and key == "enter":
                self._widened ^= {keys[self._index(keys)]}
            elif keys:
                index = self._index(keys) + (1 if key == "down" else -1)
                self._selected = keys[min(max(index, 0), len(keys) - 1)]

    def draw(
        self, report: Report | None, progress: Progress | None, width: int, height: int
    ) -> list[Text]:
        """Return the lines of the screen, within its width and height in characters."""
        head = [*self._head(report, progress), Text()]
        room = max(height - len(head) - 1, 0)
        body = list(self._body(report, width, room)) if report else []
        body += [Text()] * (room - len(body))
        lines = [*head, *body, Text(HELP, "dim")][:height]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines

    def _head(self, report: Report | None, progress: Progress | None) -> Iterator[Text]:
        """Yield what is watched, how far the window is, and what it costs."""
        if not progress:
            yield Text(f"attaching to process {self.pid}", "bold")
            return
        name = f"pid {self.pid}"
        if report:
            name += f": {printable(f'{report.target.command}, {report.target.allocator}')}"
        title = Text(name, "bold")
        if self.paused:
            title = Text("PAUSED ", "reverse") + title
        yield title
        state = (
            f"{format_seconds(progress.elapsed_s)} of {format_seconds(progress.duration_s)}"
            f"   {format_count(progress.outstanding)}"
            f" {plural(progress.outstanding, 'block')} outstanding"
        )
        if report:
            rss, before = report.memory.rss_after, report.memory.rss_before
            if rss is not None and before is not None:
                sign = "-" if rss < before else "+"
                change = f"{sign}{format_bytes(abs(rss - before))}"
                state += f"   resident set {format_bytes(rss)} ({change})"
            window = report.window
            behind_s = progress.elapsed_s - window.duration_s - window.tail_s
            if behind_s > _LATE_S and not self.paused:
                state += f"   table of {format_seconds(behind_s)} ago"
        yield Text(state)
        cost = (
            f"{format_count(progress.stops)} stops, slowed"
            f" {format_percent(progress.stopped_s, progress.elapsed_s)} of the time,"
            f" budget {self.budget_percent:g} %, {format_count(progress.events)} events"
        )
        yield Text(f"{cost}, SAMPLED" if progress.samples else cost)
        if self.problem:
            yield Text(printable(self.problem), "bold red")

    def _body(self, report: Report, width: int, room: int) -> Iterator[Text]:
        """Yield the table, as much of it as there is room for around the selected row."""
        sites = self._order(report)
        if not sites:
            yield Text("no call stack has outstanding blocks so far")
            return
        header, rows = self._rows(report, sites, width)
        yield header
        selected = self._index([identify(site) for site in sites])
        places = [place for place, row in enumerate(rows) if row.site == selected]
        room = max(room - 1, 0)
        self._top = max(self._top, places[-1] - room + 1)
        self._top = max(min(self._top, places[0], len(rows) - room), 0)
        yield from (row.text for row in rows[self._top : self._top + room])

    def _rows(self, report: Report, sites: Sequence[Site], width: int) -> tuple[Text, list[_Row]]:
        cells = [self._cells(report, site) for site in sites]
        widths = {
            header: max(len(header), *(len(row[header]) for row in cells)) for header in _HEADERS
        }
        for header in _LEFT_OUT:
            if sum(size + 2 for size in widths.values()) + _CALLER_WIDTH > width:
                del widths[header]

        def join(row: dict[str, str], caller: str) -> str:
            numbers = (
                row[header].ljust(size)
                if header in ("Verdict", "Trend")
                else row[header].rjust(size)
                for header, size in widths.items()
            )
            return "  ".join((*numbers, caller))

        selected = self._index([identify(site) for site in sites])
        rows = []
        for number, (row, site) in enumerate(zip(cells, sites)):
            style = _VERDICT_STYLES.get(row["Verdict"], "")
            text = Text(join(row, describe_caller(site)), style)
            if number == selected:
                text.truncate(width, pad=True)
                text.stylize("reverse")
            rows.append(_Row(text, number))
            if identify(site) in self._widened:
                for line in stack_lines(site):
                    rows += [
                        _Row(Text(f"    {part}"), number)
                        for part in line.fold(width - 4).splitlines()
                    ]
        titles = Text(join({header: header for header in _HEADERS}, "Caller"), "bold")
        titles.highlight_words([self.sort.capitalize()], "underline")
        return titles, rows

    def _cells(self, report: Report, site: Site) -> dict[str, str]:
        mark = "~" if site.recorded else ""
        numbers = (
            mark + format_bytes(site.outstanding_bytes),
            mark + format_count(site.outstanding_count),
            mark + format_bytes(growth_per_s(report, site)),
            "-" if site.oldest_s is None else format_seconds(site.oldest_s),
            site.verdict.word if site.verdict else "-",
            draw_bars(site.history, _BAR_COUNT, low=0),
        )
        return dict(zip(_HEADERS, numbers))

    def _order(self, report: Report) -> tuple[Site, ...]:
        """Return the first sites, sorted; the report itself is sorted by verdict."""

        def value(site: Site) -> float:
            if self.sort == "bytes":
                return site.outstanding_bytes
            if self.sort == "blocks":
                return site.outstanding_count
            return growth_per_s(report, site) if self.sort == "growth" else site.oldest_s or 0.0

        sites = report.leaking
        if self.sort != "verdict":
            sites = tuple(sorted(sites, key=value, reverse=True))
        return sites[:_MOST]

    def _index(self, keys: Sequence[_Key]) -> int:
        """Return the index of the selected row; that of the first one if it is gone."""
        return keys.index(self._selected) if self._selected in keys else 0
