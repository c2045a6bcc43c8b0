"""The strength of evidence: within a word, strong comes before weak, whatever the bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_sites import SPAN, S

from gdbleak.analysis.callers import Wrappers
from gdbleak.analysis.grouping import Key
from gdbleak.analysis.sites import SiteMaker
from gdbleak.analysis.tally import Tally
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.recording.censuses import CountedSize
from gdbleak.report.model import Reach, Verdict, Word
from gdbleak.unwinding.known_stacks import CallStack
from gdbleak.verdicts.levels import Level
from gdbleak.verdicts.strength import lower_bound, measure_strength, priority
from gdbleak.verdicts.turnover import NO_ROOM


def tally(kept, freed, size=8):
    """Return the tally of so many blocks that stay, among so many that are freed at once."""
    made = Tally(SPAN)
    for number in range(kept + freed):
        born_ns = 10 * S * number // (kept + freed)
        died_ns = None if number * kept % (kept + freed) < kept else born_ns + 1000
        values = (0, size, size, size, born_ns, died_ns, 1, 0, 0, HEAP, False, False, 0, 0)
        made.add(Block(*values), None, older_ns=0)
    return made


def strength(kept, freed, word=Word.SUSPECT, sampled=False, reach=None):
    story = tally(kept, freed).story(NO_ROOM, sampled)
    return measure_strength(replace(story, reach=reach), word)


def test_few_that_outlive_thousands_are_weaker_than_all_of_a_few():
    assert strength(2, 2000) < 0.5 < 0.8 < strength(27, 0)


def test_a_sample_misses_frees_so_the_share_of_all_blocks_counts():
    assert strength(30, 2000, sampled=True) < 0.05
    assert strength(30, 2000) > 0.8
    assert strength(27, 0, sampled=True) > 0.8


def test_lost_blocks_are_the_strongest_evidence():
    lost = Reach(6, 6, 0, 0, 0, 3)
    assert strength(6, 0, Word.LEAK, reach=lost) == 1.0
    assert strength(6, 0, Word.SUSPECT, reach=lost) < 1.0
    some = strength(2, 50, reach=Reach(40, 38, 0, 2, 0, 3))
    assert some > strength(2, 50) == strength(2, 50, reach=Reach(40, 38, 0, 2, 0, 3, freed_after=1))


def test_what_the_heap_holds_is_exact_even_in_a_sample():
    level = Level(CountedSize(24, 24, 2880, (50, 70, 90)), 2.0, 1.0, 0.7, None, None, 20.0)
    story = replace(tally(30, 2000).story(NO_ROOM, sampled=True), level=level)
    assert measure_strength(story, Word.LEAK) == 0.7
    assert measure_strength(story, Word.SUSPECT) < 0.05


def test_nothing_that_got_old_is_no_evidence():
    assert strength(0, 100) == 0.0 == strength(0, 100, sampled=True)


@pytest.mark.parametrize("whole", [1, 5, 100, 10_000])
def test_bound_lies_below_the_share_and_nears_it(whole):
    for part in {0, 1, whole // 2, whole}:
        assert 0 <= lower_bound(part, whole) <= part / whole
    assert lower_bound(whole, whole) == pytest.approx(whole / (whole + 1.96**2))


def test_words_come_first_and_then_strength_in_steps():
    def made(word, value):
        return Verdict(word, "", strength=value)

    weak_leak, strong = made(Word.LEAK, 0.1), made(Word.SUSPECT, 0.9)
    assert priority(weak_leak) < priority(strong) < priority(made(Word.SUSPECT, 0.7))
    assert priority(made(Word.LEAK, 1.0)) < priority(made(Word.LEAK, 0.99))
    assert priority(made(Word.LEAK, 0.8)) == priority(made(Word.GROWING, 0.99))
    assert priority(made(Word.CHURN, 0.0)) == priority(made(Word.CHURN, 0.9)) < priority(None)


def test_strong_suspicion_outranks_more_bytes():
    tallies = {
        Key(CallStack((1,), False), HEAP): tally(2, 2000, size=1 << 20),
        Key(CallStack((2,), False), HEAP): tally(4, 0),
    }
    maker = SiteMaker("verdict", Wrappers(()), {1: (), 2: ()}, {}, 20.0, 20 * S, {})
    first, second = maker.make(tallies, {})
    assert first.verdict.word is second.verdict.word is Word.SUSPECT
    assert first.verdict.strength > second.verdict.strength
    assert first.outstanding_bytes < second.outstanding_bytes
