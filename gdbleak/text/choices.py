"""Closed sets of words. Pure."""

from __future__ import annotations

from enum import Enum


class Choice(str, Enum):
    """One word of a closed set: equal to it, written as it in JSON, and printed as it.

    An enumeration of strings prints its name in some versions of Python and its value in others.

    >>> class Colour(Choice):
    ...     RED = "red"
    >>> f"{Colour.RED}, {Colour.RED:>4}", Colour.RED == "red"
    ('red,  red', True)

    """

    def __str__(self) -> str:
        return str(self.value)
