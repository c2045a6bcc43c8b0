"""Numbers out of range are refused before anything is done, whoever gives them."""

from __future__ import annotations

import os

import pytest

import gdbleak
from gdbleak.analysis.options import ReportOptions
from gdbleak.bounds import Bounds, bounds_of
from gdbleak.capture.limits import Limits
from gdbleak.errors import UsageError

NAN = float("nan")
INFINITY = float("inf")


@pytest.mark.parametrize(
    ("options", "name", "wrong"),
    [
        (Limits, "duration_s", [0, -1, 1e300, NAN, INFINITY, None]),
        (Limits, "max_events", [0, -1, 1.5, NAN]),
        (Limits, "max_pause_ms", [0, 249, NAN, INFINITY, None]),
        (Limits, "max_memory", [0, 512, (1 << 20) + 0.5]),
        (Limits, "stack_bytes", [0, 63, (1 << 20) + 1, 4096.5]),
        (ReportOptions, "min_size", [-1, 0.5]),
        (ReportOptions, "max_size", [-1, 0.5]),
        (ReportOptions, "older_ms", [-1, NAN, INFINITY]),
        (ReportOptions, "sort", ["", "size", None]),
        (ReportOptions, "max_frames", [0, -1, 2.5]),
    ],
)
def test_wrong_value(options, name, wrong):
    for value in wrong:
        if value is None and name != "sort":
            with pytest.raises(TypeError):
                options(**{name: value})
            continue
        with pytest.raises(UsageError, match=name):
            options(**{name: value})


def test_contradiction():
    assert ReportOptions(min_size=9, max_size=9)
    with pytest.raises(UsageError, match="9, is below the smallest, 10"):
        ReportOptions(min_size=10, max_size=9)


@pytest.mark.parametrize(
    "wrong", [{"duration_s": 0}, {"max_pause_ms": 1}, {"stack_bytes": 0}, {"max_memory": 0}]
)
def test_nothing_is_traced_then(wrong):
    with pytest.raises(UsageError):  # ourselves, which would be a TargetError
        gdbleak.trace(os.getpid(), **wrong)


def test_bounds_of_a_field():
    assert bounds_of(Limits, "stack_bytes") == Bounds(64, 1 << 20)
    assert str(Bounds(64, 1 << 20)) == "from 64 to 1048576"
    assert str(Bounds(1)) == "from 1 upwards"
