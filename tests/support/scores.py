"""What the verdicts on programs whose leaks are known are worth. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from math import sqrt

from support.corpus import Finding

LEAKS = {"leak", "growing"}
"""Labels of what leaks, and the words that say so for certain."""
SUSPICIONS = LEAKS | {"leak?"}


@dataclass(frozen=True)
class Seen:
    """What a report says of a program."""

    labels: Mapping[str, str]
    """What each of its functions is to be called."""
    findings: Sequence[Finding]
    """Of each call stack, in the order of the report."""
    lost: Set[str] = frozenset()
    """The functions to whose blocks nothing refers any more."""

    @property
    def leaking(self) -> Collection[str]:
        """The functions that leak."""
        return [function for function, label in self.labels.items() if label in LEAKS]

    def comes_first(self, function: str) -> bool:
        """Whether no call stack that is sound comes before those of a function."""
        for finding in self.findings:
            if finding.label not in LEAKS:
                return False
            if finding.function == function:
                return True
        return False

    def words(self, function: str) -> set[str]:
        """Return what the call stacks of a function are called."""
        return {finding.word for finding in self.findings if finding.function == function}


@dataclass(frozen=True)
class Scores:
    """How many of how many."""

    first: tuple[int, int]
    """Leaks that come before everything sound."""
    certain: tuple[int, int]
    """Leaks that are called so for certain."""
    suspected: tuple[int, int]
    """Leaks that are called so, or suspected."""
    right_certain: tuple[int, int]
    """Of the call stacks that are called leaks for certain, those that are."""
    right_suspected: tuple[int, int]
    """Of the call stacks that are called so or suspected, those that are leaks."""
    sound_suspected: tuple[int, int]
    """Programs without a leak of which something is called so or suspected."""
    lost: tuple[int, int]
    """Leaks whose blocks are lost that are said to be."""
    right_lost: tuple[int, int]
    """Of the call stacks that are said to be lost, those that are."""


def score(seen: Collection[Seen]) -> Scores:
    """Add up what reports say of programs."""
    leaks = [(program, function) for program in seen for function in program.leaking]
    findings = [finding for program in seen for finding in program.findings]
    sound = [program for program in seen if not program.leaking]
    called_lost = [(one, found) for one in seen for found in one.findings if found.lost]
    said = [{found.function for found in one.findings if found.lost} for one in seen]

    def right(words: set[str]) -> tuple[int, int]:
        labels = [finding.label for finding in findings if finding.word in words]
        return sum(label in LEAKS for label in labels), len(labels)

    def named(words: set[str]) -> tuple[int, int]:
        return sum(bool(program.words(leak) & words) for program, leak in leaks), len(leaks)

    return Scores(
        (sum(program.comes_first(leak) for program, leak in leaks), len(leaks)),
        named(LEAKS),
        named(SUSPICIONS),
        right(LEAKS),
        right(SUSPICIONS),
        (
            sum(any(found.word in SUSPICIONS for found in one.findings) for one in sound),
            len(sound),
        ),
        (
            sum(len(one.lost & of_it) for one, of_it in zip(seen, said)),
            sum(len(one.lost) for one in seen),
        ),
        (sum(found.function in one.lost for one, found in called_lost), len(called_lost)),
    )


def wilson(some: int, all_: int, deviations: float = 1.96) -> tuple[float, float]:
    """Return the interval in which a share of `some` in `all_`, at least one, is by 95 %."""
    share, spread = some / all_, deviations**2 / all_
    middle = (share + spread / 2) / (1 + spread)
    half = deviations * sqrt(share * (1 - share) / all_ + spread / (4 * all_)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
