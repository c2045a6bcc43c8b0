"""What sites are called: births and lifetimes go in, made up by a fixed seed."""

from __future__ import annotations

import random

import pytest

from gdbleak.analysis.tally import Tally
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.report.history import PARTS, QUARTER, Series, Span
from gdbleak.report.model import Verdict, Word
from gdbleak.verdicts.rules import judge, urgency
from gdbleak.verdicts.turnover import NO_ROOM, UNKNOWN, Came, Turnover, size_class

S = 10**9
OPENED_S, WINDOW_S, SIZE = 100.0, 20.0, 100
CLOSED_S = OPENED_S + WINDOW_S
KIND = size_class(SIZE)
SPAN = Span(int(OPENED_S * S), int(CLOSED_S * S), int(CLOSED_S * S))


def block(born_ns, died_ns=None, size=SIZE, **changes):
    made = Block(0, size, size, size, born_ns, died_ns, 1, 0, 0, HEAP, False, False, 0, 0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def judge_lives(lives, kind=KIND, sampled=False, stands_for=1):
    """Return the verdict on a site whose blocks live from and until so many seconds."""
    tally, older = Tally(SPAN), {}
    for born_s, died_s in lives:
        died_ns = None if died_s is None or died_s >= CLOSED_S else int(died_s * S)
        if OPENED_S <= born_s < CLOSED_S:
            tally.add(block(int(born_s * S), died_ns), None, 0)
        elif born_s < OPENED_S and died_ns is not None and died_ns >= SPAN.opened_ns:
            older.setdefault(kind, [0] * 4)[SPAN.part(died_ns) // QUARTER] += 1
    room = Turnover(older, [tally.came]).room(tally.came)
    return judge(tally.story(room, sampled, stands_for=stands_for))


def came(old, young=0, size=SIZE):
    made = Came()
    for number in range(old + young):
        made.add(size, is_old=number < old)
    return made


def test_older_blocks_make_room_for_those_that_can_be_freed_first():
    """A cache that is full gets 90 blocks; a tenth as many of their size are lost."""
    other = size_class(5000)
    freed = {KIND: [25] * 4, other: [25] * 4, UNKNOWN: [0, 0, 0, 4]}
    cache, lost, hidden = came(80, 10), came(9), came(100, size=5000)
    held = Turnover(freed, [cache, came(10, size=2000)])
    assert held.room(cache).share == 1.0
    rest = held.rest()
    assert rest == {KIND: [0.0] * 4, other: [20.0] * 4, UNKNOWN: [0.0] * 4}
    after = Turnover(rest, [lost, hidden])
    assert (after.room(lost).share, after.room(lost).balances) == (0.0, False)
    assert after.room(hidden).balances
    assert after.room(hidden).share == 0.8


def births(rate, start_s, chance=None):
    """Return times, at a rate, from a start on: even, or by chance."""
    times, now = [], start_s
    while now < CLOSED_S:
        times.append(now)
        now += chance.expovariate(rate) if chance else 1 / rate
    return times


def fifo(times, capacity):
    """Return lives in a cache: a new block takes the place of the oldest when it is full."""
    return [
        (at, times[n + capacity] if n + capacity < len(times) else None)
        for n, at in enumerate(times)
    ]


def queue(come, go, start_s):
    """Return lives in a queue to which so many come, and from which so many go, in a second."""
    lives, free_s = [], start_s
    for at in births(come, start_s):
        free_s = max(free_s, at) + 1 / go
        lives.append((at, free_s))
    return lives


STORIES = {
    "every block": ("leak", lambda r: [(at, None) for at in births(30, 0, r)]),
    "one in three seconds": ("leak", lambda _: [(at, None) for at in births(1 / 3, 0)]),
    "one in a hundred": (
        "leak",
        lambda r: [
            (at, None if r.random() < 0.01 else at + r.expovariate(100))
            for at in births(200, 99, r)
        ],
    ),
    "half of them": (
        "leak",
        lambda r: [
            (at, None if r.random() < 0.5 else at + r.expovariate(1)) for at in births(30, 90, r)
        ],
    ),
    "from the middle on": ("leak", lambda r: [(at, None) for at in births(20, 106, r)]),
    "in clumps": ("leak", lambda _: [(at, None) for at in births(1 / 4, 100.5) for _ in range(30)]),
    "beside blocks that live for a while": (
        "leak",
        lambda r: [(at, None if r.random() < 0.1 else at + 3) for at in births(50, 90, r)],
    ),
    "three of them": ("leak?", lambda _: [(at, None) for at in (101, 105, 109, 118)]),
    "two among thousands": (
        "leak?",
        lambda _: [(at, at + 0.001) for at in births(200, 100)] + [(103, None), (111, None)],
    ),
    "two": ("too few", lambda _: [(101, None), (111, None)]),
    "all at once": ("too few", lambda _: [(108 + n / 1000, None) for n in range(50)]),
    "all of them young": ("too few", lambda _: [(at, None) for at in births(20, 117)]),
    "filled early": ("cache?", lambda r: [(at, None) for at in births(50, 100, r) if at < 103]),
    "filled late": ("cache?", lambda r: [(at, None) for at in births(50, 100, r) if at < 113]),
    "filled, and then replaced": ("cache?", lambda r: fifo(births(50, 100, r), 400)),
    "once at the start": ("cache?", lambda _: [(100.1 + n / 1e4, None) for n in range(300)]),
    "ever fewer": ("cache?", lambda r: [(100 + r.expovariate(1 / 4), None) for _ in range(300)]),
    "full for long": ("turnover?", lambda r: fifo(births(20, 40, r), 500)),
    "expire after the window": ("turnover?", lambda r: [(a, a + 30) for a in births(20, 0, r)]),
    "expire in the window": ("churn", lambda r: [(at, at + 3) for at in births(40, 0, r)]),
    "expire near its end": ("churn", lambda r: [(at, at + 15) for at in births(40, 0, r)]),
    "live for a moment": (
        "churn",
        lambda r: [(at, at + r.expovariate(50)) for at in births(300, 99, r)],
    ),
    "live for long, by chance": (
        "churn",
        lambda r: [(at, at + r.lognormvariate(0, 2)) for at in births(50, -300, r)],
    ),
    "flushed now and then": (
        "churn",
        lambda r: [(at, (at // 8 + 1) * 8) for at in births(30, 0, r)],
    ),
    "flushed once": (
        "churn",
        lambda r: [(at, (at // 15 + 1) * 15 + 0.6) for at in births(30, 0, r)],
    ),
    "a backlog that is worked off": (
        "churn",
        lambda _: [(101 + n / 500, 102 + n / 20) for n in range(200)],
    ),
    "a queue that grows, new": ("growing", lambda _: queue(60, 40, 99.5)),
    "a queue that grows, older": ("growing", lambda _: queue(60, 40, 70)),
    "a queue that grows, old": ("growing", lambda _: queue(60, 40, 0)),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("story", STORIES)
def test_word(story, seed):
    word, lives = STORIES[story]
    verdict = judge_lives(lives(random.Random(seed)))
    assert verdict.word == word, verdict


def test_evidence():
    def evidence(story):
        return judge_lives(STORIES[story][1](random.Random(1))).evidence

    assert evidence("one in three seconds") == "0 of 6 freed, up to 18.0 s old; +0.3/s throughout"
    assert evidence("two") == "2 blocks"
    assert evidence("from the middle on").endswith("/s from 6.0 s on")
    assert evidence("two among thousands") == (
        "2 of 4,003 outlived the others, which were freed within 1.0 ms"
    )


def test_share_that_lasts():
    half = [(at, at + 0.1 if number % 2 else None) for number, at in enumerate(births(50, 100))]
    verdict = judge_lives(half)
    assert verdict.lasting == pytest.approx(0.5, abs=0.01)
    assert 0.45 < verdict.lasting_low < verdict.lasting < verdict.lasting_high < 0.55
    assert verdict.age_s == WINDOW_S / 2
    whole = judge_lives([(at, None) for at in births(1 / 3, 0)])
    assert (whole.lasting, whole.lasting_high) == (1.0, 1.0)
    assert 0 < whole.lasting_low < 0.6


def test_sample_is_a_suspicion():
    assert judge_lives([(at, None) for at in births(30, 100)], sampled=True).word == Word.SUSPECT


def test_older_blocks_of_unknown_size_may_be_of_any():
    lives = [(at, at + 30) for at in births(20, 0)]
    assert judge_lives(lives, kind=UNKNOWN).word == Word.TURNOVER
    assert judge_lives(lives, kind=size_class(5000)).word == Word.LEAK


def test_what_older_blocks_made_room_for_is_no_growth():
    assert judge_lives(queue(60, 40, 0)).net_share == pytest.approx(0.4, abs=0.15)
    assert judge_lives([(at, None) for at in births(30, 0)]).net_share == 1.0


def resized(steps, born_s=OPENED_S, is_older=False, died_s=None):
    """Return the verdict on one block that grows by so many bytes at so many seconds."""
    growth = Series()
    for at_s, by in steps:
        growth.add(SPAN.part(int(at_s * S)), by)
    size = SIZE + sum(by for _, by in steps)
    died_ns = None if died_s is None else int(died_s * S)
    made = block(
        int(born_s * S), died_ns, size, first_size=SIZE, is_older=is_older, reallocations=len(steps)
    )
    tally = Tally(SPAN)
    tally.add(made, growth, 0)
    return judge(tally.story(NO_ROOM, sampled=False))


@pytest.mark.parametrize("is_older", [False, True])
def test_block_that_is_resized_for_ever(is_older):
    verdict = resized([(101 + n, 500) for n in range(18)], is_older=is_older)
    assert (verdict.word, verdict.evidence) == (
        Word.GROWING,
        "1 block, resized 18 times, 100 B -> 9,100 B",
    )


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ([(100.5, 100), (101, 200), (102, 400), (104, 800), (108, 1600), (116, 3200)], "growing"),
        ([(100.5, 100), (101, 200), (102, 400), (104, 800), (110, 1600)], "growing"),
        ([(100.5, 100), (101, 200), (102, 400), (104, 800)], "too few"),
        ([(101 + n, 500) for n in range(8)], "too few"),
        ([(101 + n, 500 if n % 2 else -400) for n in range(18)], "too few"),
    ],
)
def test_whether_a_block_grows_on(steps, word):
    assert resized(steps).word == word


def test_block_that_was_resized_and_freed():
    assert resized([(101 + n, 500) for n in range(18)], died_s=119).word == Word.CHURN


def test_block_after_block_each_larger():
    tally = Tally(SPAN)
    ends = [100.5, 101, 102, 104, 108, 116]
    for number, (born_s, died_s) in enumerate(zip([100, *ends], [*ends, None])):
        died_ns = died_s and int(died_s * S)
        tally.add(block(int(born_s * S), died_ns, size=1000 << number), None, 0)
    verdict = judge(tally.story(NO_ROOM, sampled=False))
    assert verdict.word == Word.GROWING
    assert verdict.evidence == "one block after the other, each larger: 2,000 B -> 62.5 KiB"


def test_the_most_urgent_come_first():
    verdicts = [judge_lives(STORIES[s][1](random.Random(0))) for s in ("every block", "two")]
    assert urgency(verdicts[0]) < urgency(verdicts[1]) < urgency(None)
    assert sorted(Word, key=lambda w: urgency(Verdict(w, "")))[-1] == Word.CHURN


def test_history_of_a_site():
    tally = Tally(SPAN)
    tally.add(block(SPAN.opened_ns, int(105 * S)), None, 0)
    tally.add(block(int(110 * S)), None, 0)
    totals = tally.bytes.totals()
    assert (len(totals), totals[0], totals[PARTS // 2 - 1], totals[-1]) == (PARTS, 100, 0, 100)


@pytest.mark.parametrize(
    ("forgotten", "usual", "word"),
    [(30, 0.02, "leak?"), (3, 0.03, "churn"), (3, 0.0, "leak?"), (100, 1.0, "churn")],
)
def test_in_a_sample_a_site_has_to_stand_out(forgotten, usual, word):
    """The free of some blocks of every site is missed between bursts."""
    tally = Tally(SPAN)
    for number in range(100):
        born_ns = int((OPENED_S + number / 10) * S)
        tally.add(block(born_ns, None if number % 100 < forgotten else born_ns + 1000), None, 0)
    assert judge(tally.story(NO_ROOM, sampled=True, usual_share=usual)).word == word


def test_rates_are_those_of_all_blocks_where_some_were_left_out():
    lives = [(at, None) for at in births(1, 0)]
    assert "; +1.1/s throughout" in judge_lives(lives).evidence
    assert "; ~+4.3/s throughout" in judge_lives(lives, stands_for=4).evidence
