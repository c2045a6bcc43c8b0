"""How strong the evidence is that blocks of a call stack stay for good, as one number. Pure.

The words of verdicts are coarse: two blocks of 28,000 that outlived the others are a `leak?`, and
so are 27 of 27 that nobody has freed for minutes. This number puts the second one first.

Source of the lower bound: E. B. Wilson, Probable inference, the law of succession, and statistical
inference, Journal of the American Statistical Association 22 (1927).
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from gdbleak.report.model import Verdict, Word
from gdbleak.verdicts.facts import Facts, Story
from gdbleak.verdicts.rules import judge, urgency
from gdbleak.verdicts.slowdown import lower

_Z = 1.96
"""Of a normal distribution, 95 % lie closer to the mean than so many standard deviations."""

SUSPECTED = (Word.LEAK, Word.GROWING, Word.SUSPECT)
"""The words for what deserves a look."""

_STEPS = 4
"""Into so many steps the order of a report divides the numbers from 0 to 1: what differs by less
than a step is put in order by bytes."""


def judge_with_strength(story: Story) -> Verdict:
    """Return the verdict on a site, with the strength of its evidence."""
    is_lost = bool(story.reach and story.reach.is_lost and not story.misses_frees)
    verdict = lower(judge(story), story.speed, is_lost)
    return replace(verdict, strength=measure_strength(story, verdict.word))


def measure_strength(story: Story, word: Word) -> float:
    """Return how sure it is that blocks of a site stay for good, from 0 to 1.

    It is 1 for a `leak` whose blocks nothing refers to. Else it is a lower bound, with a confidence
    of 95 %, of the share of blocks that stay: of those that got old, where all was recorded; of
    all, in a sample, because that misses frees. For a container it is that of steps upward. Where
    the heap holds more and more blocks of its size, it is its share of them, if that is more.
    """
    reach, growth = story.reach, story.growth
    if reach and reach.is_lost and word is Word.LEAK:
        return 1.0
    facts = Facts(story)
    if story.sampled:
        share, _ = facts.lasting
        found = share.low if share else 0.0
    else:
        found = lower_bound(len(facts.old), len(facts.old) + facts.freed_late)
    if growth is not None and word is Word.GROWING:  # it has never become smaller
        found = max(found, lower_bound(growth.resizes, growth.resizes))
    level = story.level
    if level is not None and level.grows and word is not Word.SUSPECT:  # exact, beside a sample too
        found = max(found, level.share)
    if reach and not reach.freed_after and not story.misses_frees:
        found = max(found, lower_bound(reach.unreached, reach.looked_at))
    return found


def lower_bound(part: int, whole: int) -> float:
    """Return what a share is at least, with a confidence of 95 %; 0 where nothing was seen.

    >>> round(lower_bound(27, 27), 2), round(lower_bound(2, 2), 2), lower_bound(0, 100)
    (0.88, 0.34, 0.0)

    """
    if not part:
        return 0.0
    share, square = part / whole, _Z * _Z
    spread = _Z * sqrt(share * (1 - share) / whole + square / (4 * whole * whole))
    return (share + square / (2 * whole) - spread) / (1 + square / whole)


def priority(verdict: Verdict | None) -> tuple[int, int]:
    """Return a pair that is the smaller the sooner somebody should look at a site.

    That is the urgency of its word and, where that is a suspicion or more, the strength of its
    evidence in coarse steps.
    """
    if verdict is None or verdict.word not in SUSPECTED:
        return urgency(verdict), 0
    return urgency(verdict), -int(verdict.strength * _STEPS)
