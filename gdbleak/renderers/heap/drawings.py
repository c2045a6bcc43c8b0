"""What the page of a heap draws, as SVG without styles: a policy in the page forbids those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from gdbleak.renderers.heap.treemap import Box, lay_out
from gdbleak.text.units import format_bytes, format_percent

_ROOM = Box(0, 0, 1000, 320)
_WIDE, _HIGH = 7.0, 18.0
"""How much room a character and a line of a label need."""
_SMALLEST = 0.0005
"""What is a smaller share than that is drawn together with the others that are."""


class Area(NamedTuple):
    """Something with a size."""

    name: str
    bytes: int
    kind: str
    """Its class in the style sheet."""


def draw_treemap(areas: Iterable[Area], rest: str) -> str:
    """Return a treemap; `rest` is what those are called that are too small to be seen."""
    shown = _worth_seeing(areas, rest)
    total = sum(area.bytes for area in shown)
    parts = []
    for area, box in zip(shown, lay_out([area.bytes for area in shown], _ROOM)):
        title = f"{area.name}: {_describe(area.bytes, total)}"
        label = _label(area, box)
        parts.append(
            f'<g class="{area.kind}"><title>{escape(title)}</title><rect x="{box.x:.1f}"'
            f' y="{box.y:.1f}" width="{max(box.width - 1, 0.5):.1f}"'
            f' height="{max(box.height - 1, 0.5):.1f}"/>{label}</g>'
        )
    return (
        f'<svg class="treemap" viewBox="0 0 {_ROOM.width:g} {_ROOM.height:g}" role="img"'
        f' aria-label="Memory by size of block">{"".join(parts)}</svg>'
    )


def _worth_seeing(areas: Iterable[Area], rest: str) -> list[Area]:
    ordered = sorted((area for area in areas if area.bytes > 0), key=lambda area: -area.bytes)
    least = _SMALLEST * sum(area.bytes for area in ordered)
    shown = [area for area in ordered if area.bytes >= least]
    small = ordered[len(shown) :]
    if small:
        shown.append(Area(f"{len(small):,} {rest}", sum(area.bytes for area in small), "other"))
        shown.sort(key=lambda area: -area.bytes)
    return shown


def _label(area: Area, box: Box) -> str:
    lines = [area.name, format_bytes(area.bytes)]
    if box.width < _WIDE * len(lines[1]) or box.height < _HIGH:
        return ""
    if box.width < _WIDE * len(lines[0]) or box.height < 2 * _HIGH:
        lines = lines[1:]
    return "".join(
        f'<text x="{box.x + 5:.1f}" y="{box.y + 15 + 15 * number:.1f}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )


def draw_strip(areas: Sequence[Area], whole: int = 0) -> str:
    """Return a bar of parts; `whole` is how many bytes its length stands for, if not all parts."""
    areas = [area for area in areas if area.bytes > 0]  # a damaged report has negative ones
    total = sum(area.bytes for area in areas)
    whole = max(whole, total)
    parts, x = [], 0.0
    for area in areas:
        width = 1000 * area.bytes / whole if whole else 0.0
        title = escape(f"{area.name}: {_describe(area.bytes, whole)}")
        parts.append(
            f'<g class="{area.kind}"><title>{title}</title>'
            f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="20"/></g>'
        )
        x += width
    return (
        '<svg class="strip" viewBox="0 0 1000 20" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _describe(part: int, whole: int) -> str:
    return f"{format_bytes(part)}, {format_percent(part, whole)}"
