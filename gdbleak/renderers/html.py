"""The report as one page that needs no network, and no script in order to be read.

Everything that comes from the target is escaped. The script takes it as data, never as code, and a
policy in the page forbids all scripts and styles except its own two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gdbleak.renderers.chart import draw_history, draw_trend
from gdbleak.renderers.columns import words
from gdbleak.renderers.content import (
    COLUMNS,
    describe_young,
    heading,
    not_shown,
    rows,
)
from gdbleak.renderers.first_screen import make_first_screen
from gdbleak.renderers.first_screen_page import draw_first_screen
from gdbleak.renderers.flames import describe_flames
from gdbleak.renderers.pages import card, fill_page
from gdbleak.renderers.references import describe_references
from gdbleak.renderers.stack_page import draw_stack
from gdbleak.renderers.summary import summary
from gdbleak.report.model import Report, Site, Word
from gdbleak.text.lines import printable
from gdbleak.text.units import format_bytes, format_seconds, plural

MOST = 1000
"""How many call stacks a page holds: more would slow a browser."""


@dataclass(frozen=True)
class HtmlRenderer:
    """Writes the largest call stacks, searchable and sortable, a flame graph, and a chart."""

    internals: bool = False
    """Whether frames inside of libraries are shown one by one from the start."""

    def render(self, report: Report) -> str:
        """Return the report as text."""
        shown = report.leaking[:MOST]
        others = {site.rank: site for site in report.sites}
        return fill_page(
            "page.html",
            ("page.css",),
            "page.js",
            title=escape(heading(report).text),
            when=escape(f"Began {printable(report.window.started)}"),
            first=draw_first_screen(make_first_screen(report)),
            cards="".join(card(*facts) for facts in _sum_up(report)),
            chart=draw_history(report.history, _describe_held(report)),
            left_out=escape(" ".join(_left_out(report, shown))),
            headers=_headers(),
            rows="".join(
                _row(site, cells, others, self.internals) for site, cells in zip(shown, rows(shown))
            ),
            summary=_summary(report),
            internals="true" if self.internals else "false",
            data=describe_flames(report, MOST),
        )


def _left_out(report: Report, shown: Sequence[Site]) -> Iterator[str]:
    """Yield what the table does not show."""
    if report.leaking[MOST:]:
        yield f"{not_shown(report, MOST)}: a JSON report holds them all."
    young = describe_young(report, shown)
    if young:
        yield young


def _sum_up(report: Report) -> Iterable[tuple[str, str]]:
    """Yield what stands at the top of the page: a number or word, and what it means."""
    words = [site.verdict.word for site in report.leaking if site.verdict]
    lost = sum(site.is_lost for site in report.leaking)
    for word in (Word.LEAK, Word.GROWING, Word.SUSPECT):
        count = words.count(word)
        if count or word is Word.LEAK:
            yield f"{count:,}", f"{plural(count, 'call stack')} called {word}"
        if word is Word.LEAK and lost:
            yield f"{lost:,}", "of them lost: nothing refers to their blocks"
    size = sum(site.outstanding_bytes for site in report.leaking)
    mark = "~" if report.window.sampling else ""
    yield mark + format_bytes(size), "outstanding at the end"
    if report.outlook:
        yield format_bytes(report.outlook.bytes_per_s * 3600), "an hour, if it goes on like this"
        if report.outlook.reached_in_s is not None:
            limit = f"until the limit of its {report.outlook.limit_of}"
            yield format_seconds(report.outlook.reached_in_s), limit
    ok = report.verification.ok
    yield "yes" if ok else "unknown" if ok is None else "no", "process left as it was found"


def _describe_held(report: Report) -> str:
    """Return what the chart shows: where not all was recorded it is an estimate."""
    is_estimated = any(site.recorded for site in report.sites)
    return "outstanding, estimated" if is_estimated else "outstanding"


def _headers() -> str:
    cells = []
    for header, align in (*COLUMNS[:-1], *words("Trend"), COLUMNS[-1]):
        kind = ' class="text"' if align == "left" else ""
        inner = header if header == "Trend" else f'<button type="button">{header}</button>'
        cells.append(f'<th scope="col"{kind}>{inner}</th>')
    return "".join(cells)


def _row(site: Site, cells: list[str], others: Mapping[int, Site], internals: bool) -> str:
    numbers = (
        site.rank,
        site.outstanding_bytes,
        site.outstanding_count,
        site.allocated_count,
        site.freed_count,
        site.bytes_per_s,
    )
    parts = [
        f'<td data-value="{number}">{escape(cell)}</td>' for number, cell in zip(numbers, cells)
    ]
    word = cells[-2]
    kind = escape(word.rstrip("?"))
    parts.append(f'<td class="text word {kind}">{escape(word)}</td>')
    parts.append(f'<td class="trend">{draw_trend(site.history)}</td>')
    sentences = [site.verdict.evidence] if site.verdict else []
    evidence = "".join(
        f'<p class="evidence">{escape(printable(sentence))}</p>'
        for sentence in (*sentences, *describe_references(site, others))
    )
    parts.append(
        f'<td class="text caller"><details><summary>{escape(cells[-1])}</summary>'
        f"{evidence}{draw_stack(site, internals)}</details></td>"
    )
    return f"<tbody><tr>{''.join(parts)}</tr></tbody>\n"


def _summary(report: Report) -> str:
    parts = []
    for line in summary(report):
        label, _, value = line.text.partition(":")
        kind = ' class="alarm"' if line.style == "alarm" else ""
        parts.append(f"<dt>{escape(label)}</dt><dd{kind}>{escape(value.strip())}</dd>")
    return "".join(parts)
