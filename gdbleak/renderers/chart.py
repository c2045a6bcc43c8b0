"""Charts as SVG: how the numbers of a report changed in its window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gdbleak.report.window import History
from gdbleak.text.units import format_bytes, format_seconds

_WIDTH, _HEIGHT = 900, 220
_LEFT, _TOP, _BOTTOM = 70, 12, 24
_LINES = 4


def draw_trend(sizes: Sequence[int]) -> str:
    """Return a small chart without a scale; empty for an empty series."""
    if not sizes:
        return ""
    low, high = min(0, *sizes), max(1, *sizes)
    points = [
        (100 * number / len(sizes), 24 - 22 * (size - low) / (high - low))
        for number, size in enumerate((0, *sizes))
    ]
    return (
        '<svg viewBox="0 0 100 25" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{_points(points)}"/></svg>'
    )


def draw_history(history: History, what: str = "outstanding") -> str:
    """Return a chart of what was outstanding, and by how much the resident set grew."""
    if not history.times_s:
        return ""
    end_s = history.times_s[-1] or 1.0
    held = [(0.0, 0), *zip(history.times_s, history.outstanding_bytes)]
    known = [(t, size) for t, size in zip(history.times_s, history.rss) if size is not None]
    rss = [(t, size - known[0][1]) for t, size in known]
    sizes = [size for _, size in (*held, *rss)]
    low, high = min(0, *sizes), max(1, *sizes)

    def place(points: Iterable[tuple[float, int]]) -> str:
        width, height = _WIDTH - _LEFT, _HEIGHT - _TOP - _BOTTOM
        return _points(
            (_LEFT + width * t / end_s, _TOP + height * (high - size) / (high - low))
            for t, size in points
        )

    grid = []
    for number in range(_LINES + 1):
        size = low + (high - low) * number / _LINES
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (_LINES - number) / _LINES
        grid.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{format_bytes(size)}</text>'
        )
    ends = (
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">0 s</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 6}" text-anchor="end">{format_seconds(end_s)}</text>'
    )
    return (
        f'<figure><svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="Outstanding bytes, and growth of the resident set">{"".join(grid)}{ends}'
        f'<polyline class="rss" points="{place(rss)}"/><polyline points="{place(held)}"/></svg>'
        f'<figcaption><span class="key-held">&#9472;&#9472; {what}</span> &nbsp;'
        ' <span class="key-rss">&#9476;&#9476; growth of the resident set</span></figcaption>'
        "</figure>"
    )


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
