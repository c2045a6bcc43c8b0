"""What the censuses of a heap say about a site, beside the lives of its blocks. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gdbleak.report.model import Word
from gdbleak.text.units import format_factor, format_seconds
from gdbleak.verdicts.facts import FEW, Facts
from gdbleak.verdicts.levels import Level

LEAST_SHARE = 0.3
"""A site with less of the old blocks of a size is not what makes that size grow."""
STILL = 4
"""A size has not grown when it grew by less than a quarter of a site's recorded old blocks."""


def judge_sample(facts: Facts) -> Iterator[tuple[Word, str]]:
    """Yield the words that fit a site of which only a sample was recorded.

    Frees are missed between bursts, so its own blocks prove little. That the heap holds more and
    more blocks of their size, or no more than before, is known for certain.
    """
    level = facts.story.level
    if level is None or len(facts.old) < FEW:
        return
    first, last = level.size.counts[0], level.size.counts[-1]
    if STILL * level.grown <= len(facts.old):
        yield (
            Word.CHURN,
            f"the heap holds no more blocks of this size than before: {first:,} -> {last:,}",
        )
    if level.grows and level.share >= LEAST_SHARE and facts.stands_out and facts.never_freed:
        yield (
            Word.LEAK,
            f"the heap holds more and more blocks of this size: {first:,} -> {last:,},"
            f" +{format_factor(level.per_s)}/s throughout; none of {len(facts.old):,} recorded"
            " ones was freed late",
        )


def weigh(word: Word, evidence: str, level: Level | None) -> tuple[Word, str]:
    """Return a verdict by the lives of blocks, after a look at how many the heap holds.

    A window tells nothing of what is freed once an hour. But what has leaked at one rate for as
    long as a process is old has left its blocks in the heap.
    """
    if word not in (Word.LEAK, Word.GROWING) or level is None or not level.is_short_lived:
        return word, evidence
    assert level.life_s is not None
    assert level.age_s is not None
    return (
        Word.SUSPECT,
        f"{evidence}; but the heap holds only {level.size.counts[-1]:,} blocks of this size, as"
        f" many as come in {format_seconds(level.life_s)}, and the process is"
        f" {format_seconds(level.age_s)} old: they are freed later, or it began lately",
    )
