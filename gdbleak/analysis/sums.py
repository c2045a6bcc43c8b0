"""What rows of several call stacks come to, where it is estimated. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gdbleak.analysis.estimates import Amounts, Estimates
from gdbleak.analysis.grouping import Key


def add_up(
    of_rows: Estimates, of_stacks: Estimates, members: Mapping[Key, Iterable[Key]]
) -> Estimates:
    """Return the estimates of rows, each the sum of those of its call stacks.

    An estimate of all blocks of a row together is another number: how long blocks live is not the
    same in all of its call stacks. Its bounds are those of the row, which are closer than the sums
    of bounds, and hold that sum.

    Args:
        of_rows: What was estimated from all blocks of each row.
        of_stacks: The same of each call stack.
        members: The call stacks of each row.

    """
    made = {}
    for key, row in of_rows.of_sites.items():
        parts = [of_stacks.of_sites[member] for member in members[key]]
        made[key] = _sum(row, parts)
    return replace(of_stacks, of_sites=made)


def _sum(row: Amounts, parts: Iterable[Amounts]) -> Amounts:
    parts = [*parts]
    size = sum(part.outstanding_bytes for part in parts)
    return replace(
        row,
        outstanding_bytes=size,
        outstanding_bytes_low=min(row.outstanding_bytes_low, size),
        outstanding_bytes_high=max(row.outstanding_bytes_high, size),
        outstanding_count=sum(part.outstanding_count for part in parts),
    )
