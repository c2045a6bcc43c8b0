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
    if STILL * (level.grown - level.lost) <= len(facts.old):
        beside = ", but for lost ones" if level.lost else ""
        change = _describe_change(level)
        yield (
            Word.CHURN,
            f"the heap holds no more blocks of this size than before{beside}: {change}",
        )
    grows = level.grows_beside_lost and level.share >= LEAST_SHARE
    if grows and facts.stands_out and facts.never_freed:
        yield (
            Word.LEAK,
            f"the heap holds more and more blocks of this size: {_describe_change(level)},"
            f" +{format_factor(level.per_s)}/s throughout; none of {len(facts.old):,} recorded"
            " ones was freed late",
        )


def contradicts_lost(facts: Facts) -> str | None:
    """Return why blocks that nothing refers to may not be lost; None where nothing speaks for it.

    What is lost stays in the heap. If the heap holds no more blocks of their size than before, or
    if as many older ones were freed as came, the program finds them in a way that cannot be seen.
    """
    room, level = facts.story.room, facts.story.level
    if not facts.story.sampled:
        is_replaced = room.is_certain and room.balances
        return "as many older blocks of this size were freed" if is_replaced else None
    if level is None or len(facts.old) < FEW or STILL * abs(level.grown) > len(facts.old):
        return None
    return f"the heap holds no more blocks of this size than before: {_describe_change(level)}"


def _describe_change(level: Level) -> str:
    return f"{level.size.counts[0]:,} -> {level.size.counts[-1]:,}"


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
