"""What a recording would cost, in words."""

from __future__ import annotations

import pytest

from gdbleak.preflight.cost import describe, load_of, stops_per_s
from gdbleak.recording.rate import Rate, unknown


@pytest.mark.parametrize(
    ("usable_sizes", "stops", "load"), [(False, 2500, 0.375), (True, 1500, 0.225)]
)
def test_stops(usable_sizes, stops, load):
    rate = Rate(1000, 500)
    assert stops_per_s(rate, usable_sizes) == stops
    assert load_of(rate, usable_sizes) == pytest.approx(load)


@pytest.mark.parametrize(
    ("rate", "budget", "expected"),
    [
        (Rate(0, 0), 30, "no allocations in the pilot"),
        (Rate(2.345, 2), 30, "2.3 allocations/s: {} halt it for about 0.1 % of the time"),
        (Rate(0, 1000), 30, "0 allocations/s: {} halt it for about 15 % of the time"),
        (Rate(1234, 1234), 100, "1,200 allocations/s: {} halt it for about 56 % of the time"),
        (Rate(1234, 1234), 60, "1,200 allocations/s: {} halt it for about 56 % of the time"),
        (
            Rate(1234, 1234),
            30,
            "1,200 allocations/s: {} halt it for about 56 % of the time; sampling within 30 %",
        ),
        (
            Rate(181_234, 180_000),
            12.5,
            "180,000 allocations/s: {} slow it about 82 times; sampling within 12.5 %",
        ),
        (
            Rate(5e6, 5e6, at_least=True),
            100,
            "more than 5,000,000 allocations/s: {} slow it more than 2,300 times",
        ),
        (unknown("its threads have ended"), 30, "not measured: its threads have ended"),
    ],
)
def test_sentence(rate, budget, expected):
    expected = expected.format("recording all would")
    assert describe(rate, budget_percent=budget) == expected
