"""What the rules of verdicts ask about a site; ages and times are in nanoseconds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb, exp, lgamma, log, sqrt
from statistics import median

from gdbleak.recording.end import References
from gdbleak.report.history import OLD_SHARE, PARTS, QUARTER
from gdbleak.report.model import Reach
from gdbleak.text.units import format_seconds
from gdbleak.verdicts.levels import Level
from gdbleak.verdicts.survival import Ages, Share, estimate_survival, take_away
from gdbleak.verdicts.turnover import Room

FEW = 3
"""Fewer old blocks say nothing; fewer than twice as many are no more than a suspicion."""

MANY = 1000
"""Where so many others were freed early, even two old blocks are a suspicion."""

FREED_LATE = 0.1
"""At most this share of the old blocks of a leak is freed."""

ENOUGH = 50
"""So many blocks of other sites tell how busy the process is."""

LIKELY = 0.05
"""What is likelier than this may well be chance."""

CHANCE = 0.01
"""What is less likely than this did not come about by chance."""


@dataclass(frozen=True)
class Growth:
    """What became of the blocks of a site that were resized and are not freed."""

    blocks: int
    resizes: int
    first_size: int
    """What the one that grew most had at first, in bytes."""
    size: int
    """What it had in the end."""
    bytes_by_part: tuple[int, ...]
    """By how much all of them were larger at the end of each part of the window."""


@dataclass(frozen=True)
class Story:
    """What was recorded of a site; ages are in nanoseconds."""

    freed: Ages
    """Ages at which blocks were freed."""
    alive: Sequence[int]
    """Ages at the end of the blocks that were not freed."""
    blocks: tuple[int, ...]
    """How many there were at the end of each part of the window."""
    sizes: tuple[int, ...]
    """How many bytes they had, in all."""
    growth: Growth | None
    room: Room
    """How much of what has come older blocks of the same sizes have made room for."""
    others: tuple[int, ...]
    """How many blocks other sites had allocated by the end of each part of the window."""
    window_ns: int
    observed_ns: int
    """Length of the window and its tail."""
    sampled: bool
    """The window was recorded in bursts: what came and went in between is not known."""
    stands_for: int = 1
    """How many blocks each one stands for, where others were left out by their addresses."""
    reach: Reach | None = None
    """What was found of its blocks when memory was searched for references to them."""
    references: References | None = None
    """That search."""
    misses_frees: bool = False
    """A block that nothing refers to may have been freed unseen, and nothing tells whether."""
    never_freed: float = 0.0
    """In a sample, which share of blocks seems never freed although it was: see `Sampling`."""
    usual_share: float = 0.0
    """In a sample, which share of the blocks of other sites gets old: some frees are missed."""
    level: Level | None = None
    """How many blocks of the same size the heap holds; None where nobody knows."""
    speed: float | None = None
    """At which share of its usual speed the process ran, where it was slowed; see `slowdown`."""


class Facts:
    """What the rules ask about a site."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.old_ns = story.observed_ns * OLD_SHARE
        self.old = sorted(age for age in story.alive if age >= self.old_ns)
        self.freed_late = story.freed.count_from(self.old_ns)
        self.alive, self.freed = len(story.alive), len(story.freed)

    @cached_property
    def lasting(self) -> tuple[Share | None, float]:
        """Which share of the blocks gets old, and how old that is; None without blocks.

        It is half of the time, or a quarter where few blocks are as old.
        """
        story = self.story
        if not (self.freed or self.alive):
            return None, 0.0
        age_ns = story.observed_ns / 2
        if sum(age >= age_ns for age in story.alive) < 2 * FEW:
            age_ns = self.old_ns
        share = estimate_survival(story.freed, story.alive, age_ns)
        return take_away(share, story.never_freed), age_ns

    @property
    def birth_ns(self) -> float:
        """How long the part of the window is in which a block had to be born to be old now."""
        return min(self.story.window_ns, self.story.observed_ns - self.old_ns)

    @cached_property
    def births(self) -> list[int]:
        """Return when the old blocks were born, counted from when the window began."""
        return [self.story.observed_ns - age for age in reversed(self.old)]

    @cached_property
    def parts(self) -> set[int]:
        """Return the parts of the window in which old blocks were born."""
        return {int(at * PARTS // max(self.story.window_ns, 1)) for at in self.births}

    def done(self, at_ns: float) -> float:
        """Return which share of its work the process had done by a time.

        A site that slows down with everything else tells nothing. So a part of the window counts by
        what other sites allocated in it, up to what is usual: a burst is no more work.
        """
        position = min(at_ns / max(self.story.window_ns, 1), 1.0) * PARTS
        part = min(int(position), PARTS - 1)
        work = self._work
        return (sum(work[:part]) + (position - part) * work[part]) / sum(work)

    @cached_property
    def _work(self) -> list[float]:
        """How much was done in each part; the same in each where others allocate little."""
        others = (0, *self.story.others)
        counts = [after - before for before, after in zip(others, others[1:])]
        if sum(counts) < ENOUGH:
            return [1.0] * PARTS
        usual = max(median(counts), 1)
        return [min(count, usual) for count in counts]

    def quarter(self, number: int) -> int:
        """Return by how many blocks the site grew in a quarter of the window, from 0."""
        blocks = (0, *self.story.blocks)
        return blocks[(number + 1) * QUARTER] - blocks[number * QUARTER]

    @property
    def usual_life(self) -> str:
        """How long the blocks that were freed lived at most, one in a hundred left out."""
        return format_seconds(self.story.freed.at(int(self.freed * 0.99)) / 1e9)

    @property
    def outlives(self) -> bool:
        """Whether all blocks that got old live far longer than many others did."""
        return self.freed >= MANY and self.story.freed.largest < self.old_ns / 10

    @property
    def flow(self) -> list[float]:
        """How many more blocks came than went in each quarter.

        Among those that went are older blocks of the same sizes: the site's share of them.
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
    def stands_out(self) -> bool:
        """Whether more of its blocks get old than is usual at other sites, and not by chance."""
        share = max(self.story.usual_share, self.story.never_freed)
        return _chance_of_more(len(self.old), share * (self.alive + self.freed)) < LIKELY

    @property
    def filled_s(self) -> float | None:
        """When the site stopped growing, in seconds from the beginning; None if it has not."""
        births = self.births
        if self.freed <= len(self.old):  # hardly any of the young ones will go
            births = sorted(self.story.observed_ns - age for age in self.story.alive)
            possible: float = self.story.window_ns
        else:
            possible = self.birth_ns
        last = births[-1] if births else 0
        # They come in clumps, so a part of the window counts once.
        parts = len({int(at * PARTS // max(self.story.window_ns, 1)) for at in births})
        chance = min(self.done(last) / max(self.done(possible), 1e-9), 1.0) ** parts
        if births and chance < (CHANCE if parts >= FEW else 5 * CHANCE):
            return last / 1e9
        return None

    @property
    def slows_down(self) -> bool:
        """Whether far fewer of the old blocks were born late than early."""
        births = self.births
        half_done = self.done(self.birth_ns) / 2
        late = sum(self.done(at) > half_done for at in births)
        early = len(births) - late
        if self.clumps:
            half = self.birth_ns / max(self.story.window_ns, 1) * PARTS / 2
            late = sum(part >= half for part in self.parts)
            early = len(self.parts) - late
        return late < early / 2 and _chance_of(late, early + late) < CHANCE

    @property
    def clumps(self) -> bool:
        """Whether there are parts of the window with many births, and more without any."""
        parts = len(self.parts)
        return len(self.old) > 2 * parts and parts < PARTS / 4


def _chance_of(late: int, count: int) -> float:
    """Return how likely at most so many of a count are late, if each is as likely late as early.

    >>> _chance_of(0, 4)
    0.0625

    """
    if count > 1000:  # of a normal distribution that lies as far from the mean
        return 0.0 if count / 2 - late > 3 * sqrt(count) / 2 else 1.0
    return float(sum(comb(count, number) for number in range(late + 1)) / 2**count)


def _chance_of_more(count: int, expected: float) -> float:
    """Return how likely so many or more come, where so many are expected (Poisson).

    >>> _chance_of_more(1, 0.0), round(_chance_of_more(3, 1.0), 3)
    (0.0, 0.08)

    """
    if not expected:
        return float(count == 0)
    logs = (n * log(expected) - expected - lgamma(n + 1) for n in range(count))
    return 1 - sum(map(exp, logs))
