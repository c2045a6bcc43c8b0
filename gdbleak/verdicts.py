"""What a site deserves to be called. Pure."""

from __future__ import annotations

from enum import Enum


class Word(str, Enum):
    """What a site is called; docs/verdicts.md defines each."""

    LEAK = "leak"
    SUSPECT = "leak?"
    GROWING = "growing"
    CACHE = "cache?"
    TURNOVER = "turnover?"
    CHURN = "churn"
    FEW = "too few"
