"""The verdict on a site, by what became of its blocks. Pure.

docs/verdicts.md tells the rules; the numbers in them stand here and in `facts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt

from gdbleak.report.history import PARTS, QUARTER
from gdbleak.report.model import Reach, Verdict, Word
from gdbleak.text.units import count_of, format_bytes, format_count, format_factor, format_seconds
from gdbleak.verdicts.facts import CHANCE, FEW, Facts, Story
from gdbleak.verdicts.heap_rules import contradicts_lost, judge_sample, weigh
from gdbleak.verdicts.turnover import PILED_UP, REPLACED

_SAMPLE = "a sample, which misses frees"
"""Why what was recorded in bursts is doubted."""

LEVEL = 0.1
"""A site is level when it grew at the end by at most this share of what it grew by before."""


def urgency(verdict: Verdict | None) -> int:
    """Return a number that is the smaller the sooner somebody should look at the site."""
    return _URGENCY[verdict.word] if verdict else len(_URGENCY)


_URGENCY = {
    Word.LEAK: 0,
    Word.GROWING: 0,
    Word.SUSPECT: 1,
    Word.FEW: 2,
    Word.CACHE: 3,
    Word.TURNOVER: 3,
    Word.CHURN: 4,
}


def judge(story: Story) -> Verdict:
    """Return the verdict on a site."""
    facts = Facts(story)
    word, evidence = next(_find(facts))
    if word is Word.LEAK and story.reach and story.reach.is_held:
        word = Word.GROWING  # whether what is in use will ever be freed, only the program knows
    if not (story.reach and story.reach.is_lost):
        word, evidence = weigh(word, evidence, story.level)
    share, age_ns = facts.lasting
    net_share = 1 - story.room.share
    if share is None:
        return Verdict(word, evidence, net_share=net_share)
    return Verdict(word, evidence, *share, age_s=age_ns / 1e9, net_share=net_share)


def _find(facts: Facts) -> Iterator[tuple[Word, str]]:
    """Yield every word that fits, the one that fits best first."""
    story = facts.story
    reach = story.reach if story.reach and story.reach.is_lost else None
    if reach and not story.misses_frees:
        lost = f"lost: {_describe_lost(reach)}{_describe_search(story)}"
        doubt = contradicts_lost(facts)
        if doubt:
            yield Word.SUSPECT, f"{lost}; but {doubt}: the program may hide its pointers"
        yield Word.LEAK, lost
    growth = _describe_growth(story)
    if growth:
        yield Word.GROWING, growth
    if reach and facts.stands_out:
        counts = reach.lost, reach.lost_with, reach.looked_at
        yield Word.SUSPECT, f"{describe_unreached(*counts, 'recorded block')}; {_SAMPLE}"
    if story.sampled:
        yield from judge_sample(facts)
    if len(facts.old) >= FEW:
        yield from _judge_old(facts)
    if len(facts.parts) >= 2 and facts.outlives and not story.sampled:
        yield Word.SUSPECT, f"{_describe_few(facts)}, which were freed within {facts.usual_life}"
    yield from _judge_flow(facts)
    if facts.freed and not (facts.old and facts.never_freed):
        yield Word.CHURN, _describe_freed(facts)
    yield Word.FEW, _describe_few(facts)


def _judge_old(facts: Facts) -> Iterator[tuple[Word, str]]:
    """Judge a site that has blocks which got old."""
    story = facts.story
    filled_s = facts.filled_s
    if filled_s is not None and not story.sampled:
        yield Word.CACHE, f"filled in the first {format_seconds(filled_s)}, level since"
    if not facts.never_freed:
        return
    kept = _describe_kept(facts)
    if story.sampled and not facts.stands_out:
        yield Word.CHURN, f"{kept}; no more than is usual here: {_SAMPLE}"
    if story.sampled:
        yield Word.SUSPECT, f"{kept}; {_SAMPLE}"
    if facts.slows_down:
        quarters = ", ".join(f"{facts.quarter(number):+,}" for number in range(4))
        yield Word.CACHE, f"slows down: {quarters} blocks in the quarters of the window"
    rate = _format_rate(len(facts.old) / max(facts.birth_ns / 1e9, 1e-9), story)
    if len(facts.parts) == 1:
        yield Word.FEW, f"{kept}; they came all at once"
    if story.room.is_certain:
        yield Word.TURNOVER, f"{kept}; but as many older blocks of this size were freed"
    if story.room.suffices and story.room.share >= REPLACED:
        yield Word.FEW, f"{kept}; about as many older blocks of this size were freed"
    if facts.falls:
        yield Word.CHURN, "many are freed at once, now and then"
    if story.room.share >= PILED_UP:
        word = Word.GROWING if story.room.at_least >= PILED_UP else Word.SUSPECT
        share = round(100 * story.room.share)
        yield word, f"{kept}; {rate}; {share} % as many older blocks of this size were freed"
    if len(facts.old) < 2 * FEW - 1 or len(facts.parts) < FEW:
        yield Word.SUSPECT, f"{kept}; only {count_of(len(facts.old), 'old block')}"
    yield Word.LEAK, f"{kept}; {rate}{_when(facts)}"


def _judge_flow(facts: Facts) -> Iterator[tuple[Word, str]]:
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
            f"more come than go: {_format_rate(grown / came, story)} throughout; those freed"
            f" lived up to {format_seconds(story.freed.largest / 1e9)}",
        )
    at_half, at_end = story.blocks[2 * QUARTER - 1], story.blocks[-1]
    lasting, _ = facts.lasting
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


def _format_rate(blocks_per_s: float, story: Story) -> str:
    """Return how fast recorded blocks come, as that of all; an estimate, if some were left out."""
    about = "~" if story.stands_for > 1 else ""
    return f"{about}+{format_factor(blocks_per_s * story.stands_for)}/s"


def _describe_growth(story: Story) -> str | None:
    """Return how a container grows, or None if that is not what happens."""
    growth = story.growth
    if growth is not None and growth.bytes_by_part[-1] >= story.sizes[-1] / 2:
        if growth.resizes >= FEW and _grows_on(growth.bytes_by_part):
            blocks = count_of(growth.blocks, "block")
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


def _describe_lost(reach: Reach) -> str:
    """Return how many blocks of a site are lost, and in which way."""
    of = f"{reach.looked_at:,} blocks"
    if not reach.lost:
        return f"only lost blocks refer to {reach.lost_with:,} of {of}"
    if not reach.lost_with:
        return f"nothing in the process refers to {reach.lost:,} of {of}"
    return f"nothing in use refers to {reach.unreached:,} of {of}; nothing at all to {reach.lost:,}"


def describe_unreached(lost: int, lost_with: int, looked_at: int, noun: str = "block") -> str:
    """Return how many blocks cannot be reached, without a word on what that means.

    The numbers are those of a `Reach`, or sums of them.
    """
    what = "nothing in use" if lost_with else "nothing"
    return f"{what} refers to {lost + lost_with:,} of {count_of(looked_at, noun)}"


def _describe_search(story: Story) -> str:
    search = story.references
    if search is None:
        return ""
    return f" ({count_of(search.looks, 'look')} in {format_seconds(search.took_s)})"


def _describe_kept(facts: Facts) -> str:
    """Return how many of a site's blocks stay."""
    story = facts.story
    count = facts.freed + facts.alive
    if not facts.freed:
        return f"0 of {count:,} freed, up to {format_seconds(max(story.alive) / 1e9)} old"
    share, _ = facts.lasting
    percent = _percent(share.value) if share else "?"
    return f"{percent} of {format_count(count)} never freed, the others within {facts.usual_life}"


def _describe_freed(facts: Facts) -> str:
    story = facts.story
    share = _percent(facts.freed / (facts.freed + facts.alive))
    return f"{share} of {format_count(facts.freed + facts.alive)} freed, up to " + (
        f"{format_seconds(story.freed.largest / 1e9)} old"
    )


def _describe_few(facts: Facts) -> str:
    count = facts.alive
    blocks = count_of(count, "block")
    if not count:
        return "no block was watched for long enough"
    if facts.freed and facts.old:
        return f"{len(facts.old):,} of {facts.freed + count:,} outlived the others"
    if count >= FEW and not facts.old:
        return f"{blocks}, none older than {format_seconds(facts.old_ns / 1e9)}"
    return blocks


def _when(facts: Facts) -> str:
    """Return since when a leak grows."""
    births = facts.births
    start = births[0] / max(facts.birth_ns, 1)
    if (1 - start) ** len(facts.parts) < CHANCE:
        return f" from {format_seconds(births[0] / 1e9)} on"
    return " throughout"


def _percent(share: float) -> str:
    """Return a share in percent, with as many digits as tell it from 0 and from 100."""
    percent = 100 * share
    for digits in (0, 1, 2, 3):
        text = f"{percent:.{digits}f}"
        if 0 < float(text) < 100 or percent in (0, 100):
            return f"{text} %"
    return f"{percent:.4f} %"
