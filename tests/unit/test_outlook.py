"""When a limit is reached, and where else memory has gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reports import site

from gdbleak.recording.memory_limit import MemoryLimit
from gdbleak.report.model import Recorded, Verdict
from gdbleak.report.window import Outlook
from gdbleak.verdicts.outlook import doubt_outlook, explain_rest, growth_of_leaks, look_ahead

MIB = 1 << 20
LIMIT = MemoryLimit(1000, 400, "machine")


def judged(word, rate, net_share=1.0):
    return site(bytes_per_s=rate, verdict=Verdict(word, "", net_share=net_share))


def test_what_leaks_and_grows_counts():
    words = ("leak", "growing", "leak?", "cache?", "churn", "too few", "turnover?")
    rate = growth_of_leaks([judged(word, 10.0) for word in words])
    assert look_ahead(rate, None) == Outlook(20.0)


def test_limit():
    assert look_ahead(growth_of_leaks([judged("leak", 6.0)]), LIMIT) == Outlook(
        6.0, 1000, "machine", 100.0
    )


def test_older_blocks_made_room():
    assert growth_of_leaks([judged("growing", 10.0, net_share=0.25)]) == 2.5


def test_of_bursts_a_suspicion_counts():
    recorded = Recorded(1, 1, 1, 1, 0)
    estimated = replace(judged("leak?", 50.0), recorded=recorded)
    assert growth_of_leaks([estimated]) == 50.0
    assert growth_of_leaks([estimated], by_address=True) == 0.0


@pytest.mark.parametrize(
    ("leaked", "growth", "from_bursts", "said"),
    [
        (10 * MIB, 10 * MIB, False, None),
        (10 * MIB, 12 * MIB, True, None),
        (10 * MIB, None, True, None),
        (0, 100 * MIB, False, None),  # nothing leaks: there is no outlook to leave out
        (200_000, 900_000, False, None),  # too little to tell
        (2 * MIB, 100 * MIB, False, "most of that is something else"),
        (2 * MIB, 100 * MIB, True, "about 2.0 MiB"),
        (100 * MIB, 2 * MIB, False, None),  # counted: it fills memory that had been freed
        (100 * MIB, 2 * MIB, True, "the estimate may be too high"),
        (100 * MIB, -2 * MIB, True, "but the resident set shrank"),
    ],
)
def test_outlook_of_what_explains_little(leaked, growth, from_bursts, said):
    doubt = doubt_outlook(leaked, growth, from_bursts)
    assert (doubt is None) == (said is None)
    assert doubt is None or said in doubt


def test_nothing_leaks():
    assert look_ahead(growth_of_leaks([judged("churn", 10.0)]), LIMIT) is None


def test_of_a_sample_nobody_knows_what_the_rest_is():
    [sentence] = explain_rest({}, {}, 10 * MIB, 4 * MIB, estimated=True)
    assert sentence.startswith("6.0 MiB are not accounted for: the sample may stand for more")


def test_estimate_that_is_more_than_the_growth():
    [sentence] = explain_rest({}, {}, 4 * MIB, 10 * MIB, estimated=True)
    assert "6.0 MiB less than is estimated" in sentence


def test_whoever_asked_for_mappings_is_not_told_to():
    [without], [sentence] = (
        explain_rest({}, {}, 10 * MIB, 4 * MIB, with_mappings=each) for each in (False, True)
    )
    assert "(see --mappings)" in without
    assert "--mappings" not in sentence


def test_of_some_sizes_the_rest_may_be_of_others():
    [sentence] = explain_rest({}, {}, 10 * MIB, 4 * MIB, some_sizes=True)
    assert sentence == (
        "6.0 MiB are something else, such as blocks of other sizes, which were not recorded"
    )


@pytest.mark.parametrize(
    ("more", "growth", "outstanding", "said"),
    [
        ({}, 10 * MIB, 10 * MIB, []),
        ({}, 10 * MIB, 4 * MIB, ["6.0 MiB are something else"]),
        ({}, 2 * MIB, 10 * MIB, ["outstanding blocks hold 8.0 MiB more"]),
        ({}, -3 * MIB, 10 * MIB, ["outstanding blocks hold 13.0 MiB more"]),
        ({"RssFile": 6 * MIB}, 10 * MIB, 4 * MIB, ["6.0 MiB are pages of files"]),
        ({"RssShmem": 6 * MIB}, 10 * MIB, 4 * MIB, ["6.0 MiB are shared memory"]),
        (
            {"RssFile": 3 * MIB, "Threads": 2},
            10 * MIB,
            4 * MIB,
            ["3.0 MiB are pages", "there are 2 more threads", "3.0 MiB are something else"],
        ),
        ({"Threads": 2}, 10 * MIB, 10 * MIB, []),
        ({}, 40_000, 0, []),
    ],
)
def test_rest_of_the_growth(more, growth, outstanding, said):
    sentences = explain_rest({}, more, growth, outstanding)
    assert len(sentences) == len(said)
    assert all(map(str.startswith, sentences, said)), sentences
