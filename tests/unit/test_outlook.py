"""When a limit is reached, and where else memory has gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reports import site

from gdbleak.recording.memory_limit import MemoryLimit
from gdbleak.report.model import Estimate, Outlook, Verdict
from gdbleak.verdicts.outlook import explain_rest, look_ahead

MIB = 1 << 20
LIMIT = MemoryLimit(1000, 400, "machine")


def judged(word, rate, net_share=1.0):
    return site(bytes_per_s=rate, verdict=Verdict(word, "", net_share=net_share))


def test_what_leaks_and_grows_counts():
    words = ("leak", "growing", "leak?", "cache?", "churn", "too few", "turnover?")
    assert look_ahead([judged(word, 10.0) for word in words], None) == Outlook(20.0)


def test_limit():
    assert look_ahead([judged("leak", 6.0)], LIMIT) == Outlook(6.0, 1000, "machine", 100.0)


def test_older_blocks_made_room():
    assert look_ahead([judged("growing", 10.0, net_share=0.25)], None) == Outlook(2.5)


def test_estimate_is_what_counts():
    estimated = replace(judged("leak?", 1.0), estimate=Estimate(1, 1, 1, 1, bytes_per_s=50.0))
    assert look_ahead([estimated], None) == Outlook(50.0)


def test_nothing_leaks():
    assert look_ahead([judged("churn", 10.0)], LIMIT) is None


def test_of_a_sample_nobody_knows_what_the_rest_is():
    [sentence] = explain_rest({}, {}, 10 * MIB, 4 * MIB, estimated=True)
    assert sentence.startswith("6.0 MiB are not accounted for: the sample may stand for more")


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
