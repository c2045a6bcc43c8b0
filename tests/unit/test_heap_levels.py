"""What the heap held in a window, against what was recorded in it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gdbleak.recording.censuses import Censuses, CountedSize
from gdbleak.report.model import Word
from gdbleak.verdicts.facts import Facts
from gdbleak.verdicts.heap_rules import contradicts_lost, judge_sample, weigh
from gdbleak.verdicts.levels import LEAST_GROWN, Levels
from gdbleak.verdicts.turnover import NO_ROOM, Came, size_class, usable_size

S = 10**9
WINDOW_S, TIMES = 10, 11
STEADY = tuple(range(1_000, 1_000 + 40 * TIMES, 40))
STILL = (1_000, 1_003, 999, 1_001, 1_002, 998, 1_000, 1_003, 1_001, 999, 1_001)


def came(**sizes):
    """Return blocks that stayed: how many got old, by size."""
    blocks = Came()
    for size, count in sizes.items():
        for _ in range(count):
            blocks.add(int(size[1:]), is_old=True)
    return blocks


def levels(counts, sites, freed=(), age_s=3_600.0, size=40, **how):
    """Return the levels of a heap with blocks of one size."""
    times = tuple(number * WINDOW_S * S // (TIMES - 1) for number in range(len(counts)))
    censuses = Censuses(times, (CountedSize(size, size, 48 * counts[-1], tuple(counts)),))
    return Levels(censuses, sites, dict(freed), WINDOW_S * S, age_s, **how)


@pytest.mark.parametrize("size", [1, 24, 25, 40, 1_000, 5_000, 70_000, 1 << 20])
def test_a_request_has_the_class_of_the_block_that_it_gets(size):
    """Usable bytes of a block are what was asked for, or a little more: up to a page."""
    assert size <= usable_size(size_class(size)) < size + 4_096 + 24


def test_a_size_that_grows_throughout():
    site = came(_40=100)
    level = levels(STEADY, [site]).of(site)
    assert (level.grown, level.grows, level.share) == (400, True, 1.0)
    assert level.per_s == pytest.approx(40)


@pytest.mark.parametrize(
    "counts",
    [STILL, STEADY[::-1], (1_000,) * 5 + (1_400,) * 6, STEADY[:2], (1, 9, 11, 13), (7,) * TIMES],
)
def test_a_size_that_does_not(counts):
    site = came(_40=3)
    assert not levels(counts, [site]).of(site).grows


def test_fewer_blocks_than_matter_do_not_grow():
    site = came(_40=3)
    counts = [100 + number * (LEAST_GROWN - 1) // (TIMES - 1) for number in range(TIMES)]
    assert not levels(counts, [site]).of(site).grows


def test_a_site_is_judged_by_the_size_of_most_of_its_blocks():
    sites = [came(_40=30), came(_40=10, _200=30), came(_40=10, _200=5)]
    found = levels(STEADY, sites)
    assert [level and level.share for level in map(found.of, sites)] == [0.6, None, 0.2]


def test_a_heap_without_the_recorded_blocks_says_nothing_about_them():
    """They are where it was not counted: in another allocator, say."""
    site = came(_40=100)
    assert levels((40,) * TIMES, [site]).of(site) is None


def test_without_censuses_nothing_is_known():
    site = came(_40=100)
    found = Levels(None, [site], {}, WINDOW_S * S, 3_600.0)
    assert (found.of(site), found.find_growing()) == (None, [])


def test_how_long_blocks_live_by_how_many_there_are():
    """75 blocks got old that were born in 7.5 of 10 s: ten come a second, and 1,000 are there."""
    site = came(_40=75)
    level = levels((1_000,) * TIMES, [site]).of(site)
    assert level.life_s == pytest.approx(100)
    assert levels((1_000,) * TIMES, [site], stands_for=4).of(site).life_s == pytest.approx(25)
    assert levels((1_000,) * TIMES, [site], scale=1.0).of(site).life_s is None


@pytest.mark.parametrize(
    ("age_s", "short"), [(None, False), (99, False), (499, False), (501, True), (1e6, True)]
)
def test_blocks_that_lived_for_a_short_part_of_the_age_of_their_process(age_s, short):
    site = came(_40=75)
    assert levels((1_000,) * TIMES, [site], age_s=age_s).of(site).is_short_lived is short


@pytest.mark.parametrize("word", [*Word])
def test_no_definite_word_for_blocks_that_must_have_been_freed_before(word):
    site = came(_40=75)
    level = levels((1_000,) * TIMES, [site]).of(site)
    lowered = Word.SUSPECT if word in (Word.LEAK, Word.GROWING) else word
    assert weigh(word, "0 of 75 freed", level)[0] is lowered
    assert weigh(word, "0 of 75 freed", None) == (word, "0 of 75 freed")
    years = levels((1_000,) * TIMES, [site], age_s=200.0).of(site)
    assert weigh(word, "0 of 75 freed", years) == (word, "0 of 75 freed")


class Recorded(Facts):
    """What is known of a site in a sample."""

    def __init__(self, level, old=10, stands_out=True, never_freed=True):
        story = SimpleNamespace(level=level, room=NO_ROOM, sampled=True)
        self.story = story  # type: ignore[assignment]
        self.old = [S] * old
        self._answers = stands_out, never_freed

    stands_out = property(lambda self: self._answers[0])
    never_freed = property(lambda self: self._answers[1])


def words(recorded):
    return [word for word, _ in judge_sample(recorded)]


def test_a_sample_of_what_grows_in_the_heap_leaks():
    site = came(_40=10)
    level = levels(STEADY, [site], scale=1.0).of(site)
    [(word, evidence)] = judge_sample(Recorded(level))
    assert word is Word.LEAK
    assert "1,000 -> 1,400, +40/s throughout" in evidence
    assert words(Recorded(level, stands_out=False)) == []
    assert words(Recorded(level, never_freed=False)) == []
    assert words(Recorded(level, old=2)) == []
    assert words(Recorded(None)) == []


def test_a_sample_of_another_site_with_most_blocks_of_that_size_does_not():
    small, large = came(_40=10), came(_40=90)
    found = levels(STEADY, [small, large], scale=1.0)
    assert words(Recorded(found.of(small))) == []
    assert words(Recorded(found.of(large))) == [Word.LEAK]


def test_a_sample_of_what_does_not_grow_in_the_heap_is_churn():
    """Whatever share of its blocks seems never to be freed."""
    site = came(_40=20)
    assert words(Recorded(levels(STILL, [site], scale=1.0).of(site), old=20)) == [Word.CHURN]
    grows_a_little = tuple(1_000 + number for number in range(TIMES))
    level = levels(grows_a_little, [site], scale=1.0).of(site)
    assert words(Recorded(level, old=20, stands_out=False)) == []


def test_a_sample_of_what_does_not_grow_in_the_heap_is_not_lost():
    """Unless others of this size are emptied meanwhile: then their number tells nothing."""
    site = came(_40=20)
    still = Recorded(levels(STILL, [site], scale=1.0).of(site), old=20)
    assert "no more blocks of this size than before: 1,000 -> 1,001" in str(contradicts_lost(still))
    for counts, old in ((STEADY, 20), (STEADY[::-1], 20), (STILL, 2)):
        assert contradicts_lost(Recorded(levels(counts, [site]).of(site), old=old)) is None
    assert contradicts_lost(Recorded(None)) is None


@pytest.mark.parametrize(("lost", "found"), [(90, [Word.LEAK]), (110, []), (199, [Word.CHURN])])
def test_growth_of_lost_blocks_is_not_that_of_others(lost, found):
    """Of 400, of which a sample with every second block has seen so many."""
    held, gone = came(_40=100), came(_40=lost)
    level = levels(STEADY, [held, gone], scale=2.0, lost=[gone]).of(held)
    assert words(Recorded(level)) == found


def test_growth_that_the_window_did_not_see():
    assert [(each.seen, each.is_unseen) for each in levels(STEADY, []).find_growing()] == [
        (0, True)
    ]
    [seen] = levels(STEADY, [came(_40=300)]).find_growing()
    assert (seen.seen, seen.is_unseen) == (300, False)
    [net] = levels(STEADY, [came(_40=300)], {size_class(40): (50, 50, 50, 50)}).find_growing()
    assert (net.seen, net.is_unseen) == (100, True)
    assert levels(STILL, []).find_growing() == []
