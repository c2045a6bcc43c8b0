"""How many blocks live long: by those that were freed, and those that have not been yet. Pure.

Source: E. L. Kaplan and P. Meier, Nonparametric estimation from incomplete observations, Journal of
the American Statistical Association 53 (1958).
"""

from __future__ import annotations

from collections.abc import Sequence


def survival(freed: Sequence[int], alive: Sequence[int], age: float) -> float:
    """Return which share of blocks reaches an age; 1 where none was observed for as long.

    Args:
        freed: Ages at which blocks were freed.
        alive: Ages of blocks that are not freed yet: how old they become is not known.
        age: The age, in the same unit.

    >>> survival([1, 1, 1, 5], [9, 9], age=3)
    0.5
    >>> survival([2], [1, 1, 1, 9], age=3)  # the young ones say nothing about the age of 2
    0.5

    """
    share = 1.0
    observed = len(freed) + len(alive)
    young = sorted(alive)
    left = 0
    for gone, died in enumerate(sorted(freed)):
        if died > age:
            break
        while left < len(young) and young[left] < died:
            left += 1
        share *= 1 - 1 / (observed - gone - left)
    return share
