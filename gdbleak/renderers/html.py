"""The report as one page that needs no network, and no script in order to be read.

Everything that comes from the target is escaped. The script takes it as data, never as code, and a
policy in the page forbids all scripts and styles except its own two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from gdbleak.renderers.chart import draw_history, draw_trend
from gdbleak.renderers.columns import words
from gdbleak.renderers.content import (
    COLUMNS,
    describe_caller,
    heading,
    not_shown,
    nothing_outstanding,
    rows,
)
from gdbleak.renderers.pages import card, fill_page
from gdbleak.renderers.references import describe_references
from gdbleak.renderers.stacks import iter_stacks, name
from gdbleak.renderers.summary import summary
from gdbleak.report.model import Frame, Report, Site, Word
from gdbleak.text.lines import cut, printable
from gdbleak.text.units import format_bytes, format_seconds, plural

_MOST = 1000
"""How many call stacks a page holds: more would slow a browser."""
_LONGEST = 500
"""How many characters of a name it holds."""
_DEEPEST = 200
"""How many frames of a stack it shows."""


@dataclass(frozen=True)
class HtmlRenderer:
    """Writes the largest call stacks, searchable and sortable, a flame graph, and a chart."""

    def render(self, report: Report) -> str:
        """Return the report as text."""
        shown = report.leaking[:_MOST]
        others = {site.rank: site for site in report.sites}
        return fill_page(
            "page.html",
            ("page.css",),
            "page.js",
            title=escape(heading(report).text),
            when=escape(f"Began {printable(report.window.started)}"),
            cards="".join(card(*facts) for facts in _sum_up(report)),
            chart=draw_history(report.history, _describe_held(report)),
            left_out=escape(_left_out(report)),
            headers=_headers(),
            rows="".join(_row(site, cells, others) for site, cells in zip(shown, rows(shown))),
            summary=_summary(report),
            data=_data(report),
        )


def _left_out(report: Report) -> str:
    if not report.leaking:
        return nothing_outstanding(report)
    if report.leaking[_MOST:]:
        return f"{not_shown(report, _MOST)}: a JSON report holds them all."
    return ""


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


def _row(site: Site, cells: list[str], others: Mapping[int, Site]) -> str:
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
    frames = "".join(f"<li>{_frame(frame)}</li>" for frame in site.frames[:_DEEPEST])
    more = "" if len(site.frames) <= _DEEPEST else f"<p>{len(site.frames) - _DEEPEST:,} more</p>"
    parts.append(
        f'<td class="text caller"><details><summary>{escape(describe_caller(site))}</summary>'
        f'{evidence}<ol start="0">{frames}</ol>{more}</details></td>'
    )
    return f"<tbody><tr>{''.join(parts)}</tr></tbody>\n"


def _frame(frame: Frame) -> str:
    place = f"{frame.file}:{frame.line}" if frame.file and frame.line else frame.file or ""
    place += f" ({frame.module})" if frame.module else ""
    place += " (inlined)" if frame.inlined else ""
    place = escape(printable(cut(place, _LONGEST)))
    return f'{escape(_name(frame))} <span class="place">{place}</span>'


def _name(frame: Frame) -> str:
    return cut(name(frame), _LONGEST)


def _summary(report: Report) -> str:
    parts = []
    for line in summary(report):
        label, _, value = line.text.partition(":")
        kind = ' class="alarm"' if line.style == "alarm" else ""
        parts.append(f"<dt>{escape(label)}</dt><dd{kind}>{escape(value.strip())}</dd>")
    return "".join(parts)


def _data(report: Report) -> str:
    """Return the data of the flame graph, as JSON that cannot end its HTML element."""
    numbers: dict[str, int] = {}
    stacks: list[dict[str, object]] = []
    for frames, weights in iter_stacks(report):
        if len(stacks) == _MOST:
            break
        names = [numbers.setdefault(_name(frame), len(numbers)) for frame in frames[-_DEEPEST:]]
        stacks.append(
            {
                "frames": names,
                "outstanding": weights.outstanding_bytes,
                "allocated": weights.allocated_bytes,
            }
        )
    text = json.dumps({"frames": list(numbers), "stacks": stacks})
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
