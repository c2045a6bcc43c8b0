"""What sites are called whose blocks are lost, or held: the rule of docs/verdicts.md."""

from __future__ import annotations

import pytest

from gdbleak.analysis.tally import Tally
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.recording.end import References
from gdbleak.recording.references import HELD, LOST, LOST_WITH, UNKNOWN
from gdbleak.report.history import Series, Span
from gdbleak.report.model import Reach
from gdbleak.verdicts.rules import judge
from gdbleak.verdicts.turnover import NO_ROOM, Room

S = 10**9
SPAN = Span(0, 20 * S, 20 * S)
SEARCH = References(looks=3, took_s=0.9, scanned_bytes=1 << 30)


def tally_of(*states, freed=0, disproved=0):
    """Return the tally of outstanding blocks that were found to be so, and of freed ones."""
    made = Tally(SPAN)
    states += (0,) * freed + (LOST,) * disproved
    for number, state in enumerate(states):
        born_ns = number * S // 20
        died_ns = born_ns + 1000 if number >= len(states) - freed - disproved else None
        values = 0, 8, 8, 8, born_ns, died_ns, 1, 0, 0, HEAP, False, False, 0, state
        made.add(Block(*values), None, older_ns=0)
    return made


def judge_states(*states, sampled=False, misses_frees=False, usual=0.0, **counts):
    story = tally_of(*states, **counts).story(
        NO_ROOM, sampled, usual, references=SEARCH, misses_frees=misses_frees
    )
    verdict = judge(story)
    return verdict.word, verdict.evidence


def lost(evidence):
    return "leak", f"lost: {evidence} (3 looks in 900 ms)"


ROWS = {
    "all of five": (
        [LOST] * 5,
        {},
        lost("nothing in the process refers to 5 of 5 blocks"),
    ),
    "nine in ten": (
        [LOST] * 18 + [HELD] * 2,
        {},
        lost("nothing in the process refers to 18 of 20 blocks"),
    ),
    "some by others": (
        [LOST] * 300 + [LOST_WITH] * 39 + [HELD] * 2,
        {},
        lost("nothing in use refers to 339 of 341 blocks; nothing at all to 300"),
    ),
    "a ring": (
        [LOST_WITH] * 7,
        {},
        lost("only lost blocks refer to 7 of 7 blocks"),
    ),
    "in a sample, where frees are told": (
        [LOST] * 49 + [HELD],
        {"sampled": True},
        lost("nothing in the process refers to 49 of 50 blocks"),
    ),
    "beside many that are freed": (
        [LOST] * 5,
        {"freed": 500},
        lost("nothing in the process refers to 5 of 5 blocks"),
    ),
    "in a sample, where they are not": (
        [LOST] * 49 + [HELD],
        {"sampled": True, "misses_frees": True},
        ("leak?", "nothing refers to 49 of 50 recorded blocks; a sample, which misses frees"),
    ),
    "there, some by others": (
        [LOST] * 40 + [LOST_WITH] * 9 + [HELD],
        {"sampled": True, "misses_frees": True},
        (
            "leak?",
            "nothing in use refers to 49 of 50 recorded blocks; a sample, which misses frees",
        ),
    ),
    "there, as of other call stacks": (
        [LOST] * 5,
        {"sampled": True, "misses_frees": True, "usual": 0.5, "freed": 30},
        (
            "churn",
            "14 % of 35 never freed, the others within 0.0 ms; no more than is usual"
            " here: a sample, which misses frees",
        ),
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_lost(row):
    states, about, (word, evidence) = row
    assert judge_states(*states, **about) == (word, evidence)


@pytest.mark.parametrize(
    ("states", "counts"),
    [
        ([LOST] * 4, {}),
        ([LOST] * 5 + [HELD], {}),
        ([LOST] * 5 + [UNKNOWN], {}),
        ([LOST] * 17 + [HELD] * 3, {}),
        ([LOST] * 50, {"disproved": 1}),
        ([HELD] * 50, {}),
        ([UNKNOWN] * 50, {}),
        ([0] * 50, {}),
        ([], {"disproved": 5}),
    ],
)
@pytest.mark.parametrize("sampled", [False, True])
def test_what_is_not_lost_is_judged_as_if_nobody_had_looked(states, counts, sampled):
    found = judge_states(*states, sampled=sampled, misses_frees=sampled, **counts)
    gone = {"freed": counts.get("disproved", 0)}
    assert found == judge_states(*[0] * len(states), sampled=sampled, **gone)
    assert "refer" not in found[1]


def test_lost_comes_before_all_else():
    made = tally_of(*[LOST] * 5)
    growth = Series()
    for part_s in range(20):
        growth.add(SPAN.part(part_s * S), 1000)
    values = 0, 20_008, 20_008, 8, 0, None, 1, 0, 20, HEAP, False, False, 0
    for state, word in ((LOST, "leak"), (HELD, "growing")):
        grows = Tally(SPAN)
        if state == LOST:
            grows.merge(made)
        grows.add(Block(*values, state), growth, 0)
        assert judge(grows.story(NO_ROOM, sampled=False)).word == word


REPLACED = Room(1.0, 0.8, True, (1.0,) * 4, balances=True)


@pytest.mark.parametrize(
    ("room", "word"),
    [
        (REPLACED, "leak?"),
        (REPLACED._replace(balances=False), "leak"),  # something is emptied for good
        (REPLACED._replace(share=0.5), "leak"),
    ],
)
def test_what_seems_lost_and_is_replaced_may_be_hidden(room, word):
    verdict = judge(tally_of(*[LOST] * 30).story(room, sampled=False))
    assert verdict.word == word
    assert verdict.evidence.startswith("lost: nothing in the process refers to 30 of 30 blocks")
    assert ("may hide its pointers" in verdict.evidence) == (word == "leak?")


def test_without_an_end_nobody_knows_the_looks():
    story = tally_of(*[LOST] * 5).story(NO_ROOM, sampled=False)
    assert judge(story).evidence == "lost: nothing in the process refers to 5 of 5 blocks"
    assert story.reach == Reach(5, 5, 0, 0, 0, looks=0)


def test_counts_add_up():
    one = tally_of(LOST, LOST_WITH, HELD, UNKNOWN, 0, disproved=1)
    one.merge(tally_of(LOST, HELD, HELD, freed=3))
    assert one.reach(SEARCH) == Reach(7, 2, 1, 3, 1, looks=3, freed_after=1)
    assert tally_of(0, 0, freed=3).reach(SEARCH) is None
