"""A report of a heap as one page that needs no network, and no script in order to be read.

Everything that comes from the process is escaped. A policy in the page forbids all scripts and
styles except its own two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from gdbleak.renderers.chart import draw_trend
from gdbleak.renderers.columns import Column, words
from gdbleak.renderers.heap.content import below, describe_taking
from gdbleak.renderers.heap.drawings import Area, draw_strip, draw_treemap
from gdbleak.renderers.heap.memory import (
    allocator_sections,
    by_kind,
    kind_section,
    lost_sections,
    mapping_section,
)
from gdbleak.renderers.heap.sections import (
    Layout,
    Section,
    arena_section,
    heading,
    order_arenas,
    size_section,
    sum_up,
)
from gdbleak.renderers.pages import card, fill_page
from gdbleak.report.heap import (
    Amount,
    Arena,
    Free,
    HeapReport,
    MappingKind,
    MappingUse,
    SizeClass,
)
from gdbleak.report.heap_findings import find_facts
from gdbleak.report.heap_findings.model import describe_size, grows

_LAYOUT = Layout(top=1000, rest="a JSON report holds them all")
"""How many rows a table of a page has: more would slow a browser."""

_MAPPINGS = _LAYOUT._replace(top=200)
"""How many mappings of a kind it has."""

_TREND = "Trend"

_PLACES = {
    "cached": (Free.CACHED, Free.FAST),
    "bins": (Free.UNSORTED, Free.SMALL, Free.LARGE),
    "top": (Free.TOP,),
}
"""Where memory is free, by its class in the style sheet."""


def as_html(report: HeapReport) -> str:
    """Return the page."""
    return fill_page(
        "heap.html",
        ("page.css", "heap.css"),
        "heap.js",
        title=escape(heading(report)),
        when=escape(next(describe_taking(report))),
        cards="".join(card(*fact) for fact in sum_up(report)),
        findings="".join(_findings(report)),
        sections="".join(_sections(report)),
        summary="".join(f"<li>{escape(line.text)}</li>" for line in below(report)),
    )


def _findings(report: HeapReport) -> Iterator[str]:
    for finding in find_facts(report):
        kind = ' class="alarm"' if finding.is_alarm else ""
        command = f"<p>Next: <code>{escape(finding.command)}</code></p>" if finding.command else ""
        yield f"<li{kind}><p>{escape(finding.text)}</p>{command}</li>"


def _sections(report: HeapReport) -> Iterator[str]:
    if report.sizes:
        drawn = draw_treemap(_areas(report), "smaller ones")
        key = {"size": "in use", "grows": "in use, and grows", "bins": "free"}
        if not any(map(grows, report.sizes)):
            del key["grows"]
        section = size_section(report.sizes, report.in_use, _LAYOUT)
        yield _section(section, drawn + _key(key) + _sizes(section, report.sizes))
    if report.arenas:
        section = arena_section(report.arenas, _LAYOUT)
        yield _section(section, _arenas(section, report.arenas))
    if report.mappings:
        section = kind_section(report.mappings)
        yield _section(section, _space(section, report.mappings))
    others = report.allocators
    for allocator, section in zip(others, allocator_sections(others, _LAYOUT)):
        table = _sizes(section, allocator.sizes) if allocator.sizes else ""
        yield _section(section, table)
    if report.lost:
        for section in lost_sections(report.lost, _LAYOUT):
            table = _table(section.columns, _escaped(section.rows)) if section.rows else ""
            yield _section(section, table)


def _areas(report: HeapReport) -> Iterator[Area]:
    """Yield what the heap holds: blocks in use by size, and free memory by its place."""
    for size in report.sizes:
        kind = "grows" if grows(size) else "size"
        yield Area(f"{describe_size(size)} bytes", size.in_use.bytes, kind)
    for place in Free:
        found = (arena.free.get(place, Amount()).bytes for arena in report.arenas)
        yield Area(f"free, {place}", sum(found), "bins")


def _section(section: Section, inner: str) -> str:
    said = "".join(f'<p class="said">{escape(sentence)}</p>' for sentence in section.below)
    return f"<section><h2>{escape(section.title)}</h2>{inner}{said}</section>\n"


def _sizes(section: Section, sizes: Sequence[SizeClass]) -> str:
    """Return the table of sizes, with drawings of how much they take and how they grow."""
    has_trend = section.columns[-1].header == _TREND
    columns = [column for column in section.columns if column.header != _TREND]
    columns += words("In use", _TREND) if has_trend else words("In use")
    largest = max((size.in_use.bytes for size in sizes), default=0)
    rows = []
    for cells, size in zip(section.rows, sizes):
        row = [escape(cell) for cell in (cells[:-1] if has_trend else cells)]
        kind = "grows" if grows(size) else "size"
        row.append(draw_strip([Area("in use", size.in_use.bytes, kind)], largest))
        if has_trend:
            history = size.growth.history if size.growth else ()
            row.append(draw_trend([count - min(history) for count in history]))
        rows.append(row)
    return _table(columns, rows)


def _arenas(section: Section, arenas: Sequence[Arena]) -> str:
    """Return the table of arenas, with drawings of what is in use of each, and where it is free."""
    largest = max(arena.in_use.bytes + arena.free_bytes for arena in arenas)
    rows = []
    for cells, arena in zip(section.rows, order_arenas(arenas)):
        areas = [Area("in use", arena.in_use.bytes, "size")]
        for kind, places in _PLACES.items():
            free = sum(arena.free.get(place, Amount()).bytes for place in places)
            areas.append(Area(f"free, {kind}", free, kind))
        rows.append([*map(escape, cells), draw_strip(areas, largest)])
    key = _key({"size": "in use", "cached": "cached", "bins": "free", "top": "top"})
    return key + _table([*section.columns, *words("What it holds")], rows)


def _space(section: Section, mappings: Sequence[MappingUse]) -> str:
    """Return what memory is for, by kind, and the mappings of each kind below it."""
    kinds = by_kind(mappings)
    resident = [
        Area(str(kind), sum(each.resident_bytes or 0 for each in of), _class_of(kind))
        for kind, of in kinds.items()
    ]
    parts = []
    if any(area.bytes for area in resident):
        drawn = {area.kind: area.name for area in resident if area.bytes}
        parts.append(draw_strip(resident) + _key(drawn, "What is resident: "))
    parts.append(f'<p class="kind head">{_spans(column.header for column in section.columns)}</p>')
    for cells, of in zip(section.rows, kinds.values()):
        table = mapping_section(of, _MAPPINGS)
        said = "".join(f'<p class="said">{escape(sentence)}</p>' for sentence in table.below)
        parts.append(
            f'<details><summary class="kind">{_spans(cells)}</summary>'
            f"{_table(table.columns, _escaped(table.rows))}{said}</details>"
        )
    if len(section.rows) > len(kinds):
        parts.append(f'<p class="kind all">{_spans(section.rows[-1])}</p>')
    return "".join(parts)


def _class_of(kind: MappingKind) -> str:
    return f"kind-{kind.name.lower().replace('_', '-')}"


def _spans(cells: Iterable[str]) -> str:
    return "".join(f"<span>{escape(cell)}</span>" for cell in cells)


def _key(classes: dict[str, str], text: str = "") -> str:
    """Return what colours mean: words by classes of the style sheet."""
    words = " ".join(
        f'<span class="key"><svg viewBox="0 0 10 10" class="{kind}" aria-hidden="true">'
        f'<rect width="10" height="10"/></svg>{escape(word)}</span>'
        for kind, word in classes.items()
    )
    return f'<p class="keys">{text}{words}</p>'


def _escaped(rows: Iterable[Iterable[str]]) -> list[list[str]]:
    return [list(map(escape, row)) for row in rows]


def _table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are escaped."""
    kinds = [' class="text"' if column.align == "left" else "" for column in columns]
    headers = "".join(
        f'<th scope="col"{kind}><button type="button">{escape(column.header)}</button></th>'
        for column, kind in zip(columns, kinds)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for cell, kind in zip(row, kinds))}</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{headers}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )
