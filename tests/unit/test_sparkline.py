"""Series as bars."""

from __future__ import annotations

import pytest

from gdbleak.text.sparkline import draw_bars


@pytest.mark.parametrize(
    ("values", "low", "bars"),
    [
        ((), None, ""),
        ((0, 0), 0, "11"),
        ((1, 2, 4), 0, "248"),
        ((1, 2, 4), None, "138"),
        ((-5, 8), 0, "18"),
        ((8,) * 32, 0, "8888"),
        ((8,) * 32, None, "1111"),
        (range(32), 0, "2468"),
        (range(5), None, "1248"),
    ],
)
def test_bars(values, low, bars):
    assert draw_bars(values, 4, low, "12345678") == bars
