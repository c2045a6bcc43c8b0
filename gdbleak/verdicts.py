"""What a site deserves to be called, by what became of its blocks. Pure.

The rules are told in docs/verdicts.md; the numbers in them stand here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from math import comb, sqrt

from gdbleak.history import OLD_SHARE, PARTS, QUARTER
from gdbleak.report import Verdict
from gdbleak.survival import Share, estimate_survival
from gdbleak.turnover import Room
from gdbleak.units import format_bytes, format_count, format_factor, format_seconds

FEW = 3
"""Fewer old blocks say nothing; less than twice as many are a suspicion."""

MANY = 1000
"""After so many others, even two blocks that are old are a suspicion."""

FREED_LATE = 0.1
"""Of a leak's blocks that get old, at most this share is freed."""

REPLACED = 0.6, 0.2
"""From the first share on, blocks take the place of older ones; below the second, they pile up."""

LEVEL = 0.1
"""A site is level when it grew at the end by at most this share of what it grew by before."""

_CHANCE = 0.01
"""What is less likely than this did not come about by chance."""


class Word(str, Enum):
    """What a site is called; docs/verdicts.md defines each."""

    LEAK = "leak"
    SUSPECT = "leak?"
    GROWING = "growing"
    CACHE = "cache?"
    TURNOVER = "turnover?"
    CHURN = "churn"
    FEW = "too few"


def urgency(verdict: Verdict | None) -> int:
    """Return a number that is the smaller the sooner somebody should look at the site."""
    return _URGENCY[Word(verdict.word)] if verdict else len(_URGENCY)


_URGENCY = {
    Word.LEAK: 0,
    Word.GROWING: 0,
    Word.SUSPECT: 1,
    Word.FEW: 2,
    Word.CACHE: 3,
    Word.TURNOVER: 3,
    Word.CHURN: 4,
}


@dataclass(frozen=True)
class Growth:
    """What became of the blocks of a site that were resized and are not freed."""

    blocks: int
    resizes: int
    first_size: int
    """Of the one that grew most."""
    size: int
    bytes_by_part: tuple[int, ...]
    """By how much all of them were larger at the end of each part of the window."""


@dataclass(frozen=True)
class Story:
    """What was recorded of a site; ages are in nanoseconds."""

    freed: Sequence[int]
    """Ages at which blocks were freed."""
    alive: Sequence[int]
    """Ages at the end of those that were not."""
    blocks: tuple[int, ...]
    """How many there were at the end of each part of the window."""
    sizes: tuple[int, ...]
    """How many bytes these had."""
    growth: Growth | None
    room: Room
    """How much of what has come older blocks of the same sizes have made room for."""
    window_ns: int
    observed_ns: int
    """With the tail."""
    sampled: bool
    """It was recorded in bursts: what came and went in between is not known."""


def judge(story: Story) -> Verdict:
    """Return the verdict on a site."""
    word, evidence = next(_find(_Facts(story)))
    share, age_ns = _lasting(story)
    net_share = 1 - story.room.share
    if share is None:
        return Verdict(word.value, evidence, net_share=net_share)
    return Verdict(word.value, evidence, *share, age_s=age_ns / 1e9, net_share=net_share)


class _Facts:
    """What the rules ask about a site."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.old_ns = story.observed_ns * OLD_SHARE
        self.old = sorted(age for age in story.alive if age >= self.old_ns)
        self.freed_late = sum(age >= self.old_ns for age in story.freed)
        self.alive, self.freed = len(story.alive), len(story.freed)

    @property
    def birth_ns(self) -> float:
        """For how long blocks could be born that are old now."""
        return min(self.story.window_ns, self.story.observed_ns - self.old_ns)

    def births(self) -> list[int]:
        """Return when the old blocks were born, counted from when the window began."""
        return [self.story.observed_ns - age for age in reversed(self.old)]

    def parts(self) -> set[int]:
        """Return the parts of the window in which old blocks were born."""
        return {int(at * PARTS // max(self.story.window_ns, 1)) for at in self.births()}

    def quarter(self, number: int) -> int:
        """Return by how many blocks the site grew in a quarter of the window, from 0."""
        blocks = (0, *self.story.blocks)
        return blocks[(number + 1) * QUARTER] - blocks[number * QUARTER]

    @property
    def usual_life(self) -> str:
        """How long those that were freed lived at most, but for one in a hundred."""
        return format_seconds(sorted(self.story.freed)[int(self.freed * 0.99)] / 1e9)

    @property
    def outlives(self) -> bool:
        """Whether all blocks that got old live far longer than many others did."""
        return self.freed >= MANY and max(self.story.freed) < self.old_ns / 10

    @property
    def flow(self) -> list[float]:
        """How many more blocks came than went in each quarter, older ones of their size included.

        These may be others' blocks: the site is given its share of them.
        """
        return [self.quarter(n) - self.story.room.quarters[n] for n in range(4)]

    @property
    def falls(self) -> bool:
        """Whether far more blocks went than came in a quarter."""
        return -min(self.flow) > max(3 * sqrt(self.story.blocks[-1]), self.story.blocks[-1] / 4)

    @property
    def never_freed(self) -> bool:
        """Whether those that get old are not freed any more."""
        late = len(self.old) + self.freed_late
        return bool(self.old) and self.freed_late <= FREED_LATE * late

    @property
    def filled_s(self) -> float | None:
        """When the site stopped growing, in seconds from the beginning; None if it has not."""
        births = self.births()
        if self.freed <= len(self.old):  # hardly any of the young ones will go
            births = sorted(self.story.observed_ns - age for age in self.story.alive)
            possible: float = self.story.window_ns
        else:
            possible = self.birth_ns
        last = births[-1] if births else 0
        # They come in clumps, so a part of the window counts once.
        parts = len({int(at * PARTS // max(self.story.window_ns, 1)) for at in births})
        chance = min(last / max(possible, 1), 1.0) ** parts
        if births and chance < (_CHANCE if parts >= FEW else 5 * _CHANCE):
            return last / 1e9
        return None

    @property
    def slows_down(self) -> bool:
        """Whether far fewer of the old blocks were born late than early."""
        births = self.births()
        late = sum(at > self.birth_ns / 2 for at in births)
        early = len(births) - late
        if self.clumps:
            half = self.birth_ns / max(self.story.window_ns, 1) * PARTS / 2
            late = sum(part >= half for part in self.parts())
            early = len(self.parts()) - late
        return late < early / 2 and _chance_of(late, early + late) < _CHANCE

    @property
    def clumps(self) -> bool:
        """Whether there are parts of the window with many births, and more without any."""
        parts = len(self.parts())
        return len(self.old) > 2 * parts and parts < PARTS / 4


def _find(facts: _Facts) -> Iterator[tuple[Word, str]]:
    """Yield every word that fits, the one that fits best first."""
    story = facts.story
    growth = _describe_growth(story)
    if growth:
        yield Word.GROWING, growth
    if len(facts.old) >= FEW:
        yield from _judge_old(facts)
    if len(facts.parts()) >= 2 and facts.outlives and not story.sampled:
        yield Word.SUSPECT, f"{_describe_few(facts)}, which lived within {facts.usual_life}"
    yield from _judge_flow(facts)
    if facts.freed and not (facts.old and facts.never_freed):
        yield Word.CHURN, _describe_freed(facts)
    yield Word.FEW, _describe_few(facts)


def _judge_old(facts: _Facts) -> Iterator[tuple[Word, str]]:
    """Judge a site that has blocks which got old."""
    story = facts.story
    filled_s = facts.filled_s
    if filled_s is not None and not story.sampled:
        yield Word.CACHE, f"filled in the first {format_seconds(filled_s)}, level since"
    if not facts.never_freed:
        return
    if facts.slows_down:
        quarters = ", ".join(f"{facts.quarter(number):+,}" for number in range(4))
        yield Word.CACHE, f"slows down: {quarters} blocks in the quarters of the window"
    rate = format_factor(len(facts.old) / max(facts.birth_ns / 1e9, 1e-9))
    kept = _describe_kept(facts)
    if story.sampled:
        yield Word.SUSPECT, f"{kept}; of a sample"
    if len(facts.parts()) == 1:
        yield Word.FEW, f"{kept}; they came all at once"
    if _is_replaced(story):
        yield Word.TURNOVER, f"{kept}; but as many older blocks of this size were freed"
    if facts.falls:
        yield Word.CHURN, "many are freed at once, now and then"
    if story.room.share >= REPLACED[1]:
        word = Word.GROWING if story.room.at_least >= REPLACED[1] else Word.SUSPECT
        share = round(100 * story.room.share)
        yield word, f"{kept}; +{rate}/s; older blocks of this size made room for {share} % of them"
    if len(facts.old) < 2 * FEW - 1 or len(facts.parts()) < FEW:
        yield Word.SUSPECT, f"{kept}; {len(facts.old):,} blocks are few"
    yield Word.LEAK, f"{kept}; +{rate}/s{_when(facts)}"


def _judge_flow(facts: _Facts) -> Iterator[tuple[Word, str]]:
    """Judge a site whose blocks are freed: by whether as many go as come."""
    story = facts.story
    if story.sampled:
        return
    first, *later = facts.flow
    grown = sum(later)
    came = story.window_ns / 1e9 * 0.75
    if (
        min(later) > max(first, *later) / 2
        and not story.room.suffices
        and grown > max(3 * sqrt(story.blocks[-1]), 2 * FEW)
        and facts.freed_late
    ):
        yield (
            Word.GROWING,
            f"more come than go: +{format_factor(grown / came)}/s throughout; those freed"
            f" lived up to {format_seconds(max(story.freed) / 1e9)}",
        )
    at_half, at_end = story.blocks[2 * QUARTER - 1], story.blocks[-1]
    lasting, _ = _lasting(story)
    if (
        at_half >= FEW
        and abs(at_end - at_half) <= LEVEL * at_half
        and max(story.blocks) <= (1 + LEVEL) * at_end
        and lasting is not None
        and lasting.value > LEVEL
    ):
        full = next(n for n, blocks in enumerate(story.blocks, 1) if blocks >= 0.9 * at_end)
        seconds = format_seconds(full / PARTS * story.window_ns / 1e9)
        yield Word.CACHE, f"filled in the first {seconds}, as many freed as come since"


def _is_replaced(story: Story) -> bool:
    """Whether older blocks have made room for all that has come."""
    room = story.room
    return room.suffices and room.share >= REPLACED[0] and room.at_least >= REPLACED[1]


def _describe_growth(story: Story) -> str | None:
    """Return how a container grows, or None if that is not what happens."""
    growth = story.growth
    if growth is not None and growth.bytes_by_part[-1] >= story.sizes[-1] / 2:
        if growth.resizes >= FEW and _grows_on(growth.bytes_by_part):
            blocks = f"{growth.blocks:,} block{'' if growth.blocks == 1 else 's'}"
            first, last = format_bytes(growth.first_size), format_bytes(growth.size)
            each = "" if growth.blocks == 1 else "one of them "
            return f"{blocks}, resized {growth.resizes:,} times, {each}{first} -> {last}"
    # Without realloc, each block takes the place of a smaller one.
    replaced = len(story.freed) >= 2 and len(story.alive) <= 2 and max(story.blocks) <= 4
    if replaced and not story.sampled and _grows_on(story.sizes):
        smallest = format_bytes(next(size for size in story.sizes if size))
        return (
            f"one block after the other, each larger: {smallest} -> {format_bytes(story.sizes[-1])}"
        )
    return None


def _grows_on(sizes: Sequence[int]) -> bool:
    """Whether something has grown, in steps, until now or by ever larger ones, and never shrunk."""
    steps = [after - before for before, after in zip((0, *sizes), sizes)]
    grown = [part for part, step in enumerate(steps) if step]
    if min(steps) < 0 or len(grown) < FEW:
        return False
    # A container that doubles takes ever longer for it.
    doubles = steps[grown[-1]] >= sum(steps[: grown[-1]]) / 3
    return grown[-1] >= PARTS - QUARTER or (doubles and grown[-1] >= PARTS // 2 - 1)


def _describe_kept(facts: _Facts) -> str:
    """Return how many of a site's blocks stay."""
    story = facts.story
    count = facts.freed + facts.alive
    if not facts.freed:
        return f"0 of {count:,} freed, up to {format_seconds(max(story.alive) / 1e9)} old"
    share, _ = _lasting(story)
    percent = _percent(share.value) if share else "?"
    return f"{percent} of {format_count(count)} never freed, the others within {facts.usual_life}"


def _describe_freed(facts: _Facts) -> str:
    story = facts.story
    share = _percent(facts.freed / (facts.freed + facts.alive))
    return f"{share} of {format_count(facts.freed + facts.alive)} freed, up to " + (
        f"{format_seconds(max(story.freed) / 1e9)} old"
    )


def _describe_few(facts: _Facts) -> str:
    count = facts.alive
    blocks = f"{count:,} block{'' if count == 1 else 's'}"
    if facts.freed and facts.old:
        return f"{len(facts.old):,} of {facts.freed + count:,} are older than the others get"
    if count >= FEW and not facts.old:
        return f"{blocks}, none older than {format_seconds(facts.old_ns / 1e9)}"
    return blocks


def _when(facts: _Facts) -> str:
    """Return since when a leak grows."""
    births = facts.births()
    start = births[0] / max(facts.birth_ns, 1)
    if (1 - start) ** len(facts.parts()) < _CHANCE:
        return f" from {format_seconds(births[0] / 1e9)} on"
    return " throughout"


def _lasting(story: Story) -> tuple[Share | None, float]:
    """Return which share of blocks gets how old: half of the time, if enough are that old."""
    if not (story.freed or story.alive):
        return None, 0.0
    for part in (0.5, OLD_SHARE):
        age_ns = story.observed_ns * part
        if sum(age >= age_ns for age in story.alive) >= 2 * FEW or part == OLD_SHARE:
            break
    return estimate_survival(story.freed, story.alive, age_ns), age_ns


def _percent(share: float) -> str:
    """Return a share with as many digits as tell it from none and from all."""
    percent = 100 * share
    for digits in (0, 1, 2, 3):
        text = f"{percent:.{digits}f}"
        if 0 < float(text) < 100 or percent in (0, 100):
            return f"{text} %"
    return f"{percent:.4f} %"


def _chance_of(late: int, count: int) -> float:
    """Return how likely at most so many of a count are late, if each is as likely late as early.

    >>> _chance_of(0, 4)
    0.0625

    """
    if count > 1000:  # of a normal distribution that lies as far from the mean
        return 0.0 if count / 2 - late > 3 * sqrt(count) / 2 else 1.0
    return float(sum(comb(count, number) for number in range(late + 1)) / 2**count)
