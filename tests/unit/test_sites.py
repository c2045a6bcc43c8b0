"""How sites are judged beside each other."""

from __future__ import annotations

import pytest

from gdbleak.analysis.callers import Wrappers
from gdbleak.analysis.estimates import Amounts, measure_never_freed
from gdbleak.analysis.grouping import Key
from gdbleak.analysis.sites import SiteMaker
from gdbleak.analysis.tally import Tally
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.report.history import Span
from gdbleak.unwinding.known_stacks import CallStack

S = 10**9
SPAN = Span(0, 20 * S, 20 * S)


def tally(kept):
    """Return the tally of 100 blocks, of which so many are not seen to be freed."""
    made = Tally(SPAN)
    for number in range(100):
        born_ns = number * S // 10
        died_ns = None if number % 100 < kept else born_ns + 1000
        made.add(
            Block(0, 8, 8, 8, born_ns, died_ns, 1, 0, 0, HEAP, False, False, 0, 0), None, older_ns=0
        )
    return made


def tally_of(births, lives_ns=1000):
    """Return the tally of 100 blocks; those born in these tenths of a second stay."""
    made = Tally(SPAN)
    for number in range(100):
        stays = number < len(births)
        born_ns = (births[number] if stays else number) * S // 10
        died_ns = None if stays else born_ns + lives_ns
        values = (number, 8, 8, 8, born_ns, died_ns, 1, 0, 0, HEAP, False, False, 0, 0)
        made.add(Block(*values), None, older_ns=0)
    return made


def judge(*kept):
    """Return the words for sites of a sample that keep so many of 100 blocks each."""
    tallies = {Key(CallStack((n,), False), HEAP): tally(count) for n, count in enumerate(kept)}
    estimates = dict.fromkeys(tallies, Amounts(1, 1, 1, 1, 1.0))
    maker = SiteMaker("bytes", Wrappers(()), dict.fromkeys(range(len(kept)), ()), {}, 20.0, 0, {})
    sites = maker.make(tallies, estimates)
    return sorted((site.allocated_count - site.freed_count, site.verdict.word) for site in sites)


def test_one_of_a_sample_that_stands_out():
    words = judge(6, 7, 8, 5, 9, 40)
    assert words == [(n, "churn") for n in (5, 6, 7, 8, 9)] + [(40, "leak?")]


def test_where_most_leak_they_are_not_what_is_usual():
    assert {word for _, word in judge(100, 100, 99, 100, 98, 100)} == {"leak?"}


def test_of_few_nobody_can_say_what_is_usual():
    assert judge(6, 40) == [(6, "leak?"), (40, "leak?")]


@pytest.mark.parametrize(
    ("kept", "share"),
    [
        ((4, 6, 8), 0.06),
        ((4, 6), 0.0),  # of two nobody can say what is usual
        ((0, 0, 40), 0.0),  # most do not leak
        ((1, 2, 3, 2, 90), 0.02),
    ],
)
def test_share_that_is_not_seen_to_be_freed(kept, share):
    """By call stacks whose blocks live for a microsecond, each of a hundred blocks."""
    # The last quarter of the window is too young to tell.
    spread = [tally_of([number % 25 for number in range(count)]) for count in kept]
    assert measure_never_freed(spread) == pytest.approx(share)


def test_blocks_that_live_for_longer_say_nothing_of_that():
    assert measure_never_freed([tally_of([1, 2], lives_ns=S)] * 5) == 0


def test_verdict_without_that_share():
    tallies = {Key(CallStack((n,), False), HEAP): tally_of([1] * n) for n in (4, 5, 30)}
    estimates = dict.fromkeys(tallies, Amounts(1, 1, 1, 1, 1.0))
    frames = dict.fromkeys((4, 5, 30), ())
    maker = SiteMaker("bytes", Wrappers(()), frames, {}, 20.0, 0, {}, never_freed=0.05)
    words = {
        site.recorded.outstanding_count: (site.verdict.word, site.verdict.lasting)
        for site in maker.make(tallies, estimates)
    }
    assert words[4] == ("churn", 0.0)
    assert words[5] == ("churn", pytest.approx(0, abs=1e-9))
    assert words[30] == ("leak?", pytest.approx(0.25 / 0.95))


def test_what_stops_with_all_the_others_is_not_full():
    """The load of the process ends in the middle of the window."""

    def made(stops_s, kept):
        one = Tally(SPAN)
        for number in range(stops_s * 10):
            born_ns = number * S // 10
            died_ns = None if kept else born_ns + 1000
            values = (0, 8, 8, 8, born_ns, died_ns, 1, 0, 0, HEAP, False, False, 0, 0)
            one.add(Block(*values), None, older_ns=0)
        return one

    def word_beside(others_stop_s):
        keys = [Key(CallStack((n,), False), HEAP) for n in range(2)]
        tallies = dict(zip(keys, (made(11, kept=True), made(others_stop_s, kept=False))))
        maker = SiteMaker("bytes", Wrappers(()), {0: (), 1: ()}, {}, 20.0, SPAN.end_ns, {})
        return {site.freed_count: site.verdict.word for site in maker.make(tallies, {})}[0]

    assert word_beside(others_stop_s=11) == "leak"
    assert word_beside(others_stop_s=20) == "cache?"
