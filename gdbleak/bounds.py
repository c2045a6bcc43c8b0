"""Ranges of the numbers that a user may choose, each written once, beside the field's default.

>>> Bounds(64, 4096)
Bounds(low=64, high=4096)
>>> 63 in Bounds(64, 4096), str(Bounds(1))
(False, 'from 1 upwards')
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from gdbleak.errors import UsageError


@dataclass(frozen=True)
class Bounds:
    """A range of numbers, both ends included."""

    low: float
    high: float | None = None

    def __contains__(self, number: float) -> bool:
        return self.low <= number < float("inf") and (self.high is None or number <= self.high)

    def __str__(self) -> str:
        return f"from {self.low} " + ("upwards" if self.high is None else f"to {self.high}")


def bounded(default: Any, low: float, high: float | None = None) -> Any:
    """Return a field of a dataclass whose numbers have bounds."""
    return field(default=default, metadata={"bounds": Bounds(low, high)})


def bounds_of(options: type, name: str) -> Bounds:
    """Return the bounds of a field."""
    [bounds] = (each.metadata["bounds"] for each in fields(options) if each.name == name)
    assert isinstance(bounds, Bounds)
    return bounds


def check_bounds(options: Any) -> None:
    """Check each field of a dataclass that has bounds; None passes if it is the default.

    Raises:
        UsageError: a number is out of its range, or has a fraction and may not have one.

    """
    for each in fields(options):
        value = getattr(options, each.name)
        if "bounds" not in each.metadata or (value is None and each.default is None):
            continue
        if value not in each.metadata["bounds"]:
            raise UsageError(f"{each.name}, {value}, is out of range: {each.metadata['bounds']}")
        if str(each.type).startswith("int") and value != int(value):
            raise UsageError(f"{each.name}, {value}, must be a whole number")
