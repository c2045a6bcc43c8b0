"""A series of numbers as a few characters. Pure."""

from __future__ import annotations

from collections.abc import Sequence

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"


def draw_bars(values: Sequence[int], count: int, low: int | None = None, bars: str = BARS) -> str:
    """Return bars for a series: it is cut into equal parts, and each bar shows the end of one.

    Args:
        values: The series.
        count: How many parts; a shorter series has fewer, an empty one none.
        low: The value of the lowest bar; None for the smallest value.
        bars: Characters from the lowest to the highest, which stands for the largest value.

    >>> draw_bars([10, 20, 40], 3, bars="01234567"), draw_bars([10, 20, 40], 3, 0, "01234567")
    ('027', '137')

    """
    step = max(len(values) / count, 1)
    points = [values[int((n + 1) * step) - 1] for n in range(min(count, len(values)))]
    if not points:
        return ""
    low, high = min(points) if low is None else low, max(points)
    return "".join(
        bars[max(point - low, 0) * (len(bars) - 1) // max(high - low, 1)] for point in points
    )
