"""What reports say of references: the sentences of a call stack, the summary, the page."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reports import HOSTILE, REFERENCES, SAMPLES, WINDOW, report, site

from gdbleak.renderers import make_renderer
from gdbleak.renderers.references import describe_references, describe_search
from gdbleak.report.model import Frame, Holder, Reach, Verdict, Word

LEAK, CHURN = Verdict(Word.LEAK, "0 of 9 freed"), Verdict(Word.CHURN, "9 of 9 freed")
HELD = Reach(9, 0, 0, 9, 0, 3)
NODE = Frame(0x10, "/srv/app", 0x10, "table::insert(int)", "app.c", 3)
OTHERS = {1: site(1), 2: site(2, (NODE,)), 3: site(3, ())}


def held_by(*holders):
    return replace(HELD, holders=holders)


ROWS = {
    "nobody looked": (LEAK, None, []),
    "all lost, which the verdict says": (LEAK, Reach(9, 9, 0, 0, 0, 3), []),
    "all lost, or freed unseen": (
        CHURN,
        Reach(9, 9, 0, 0, 0, 3),
        ["nothing refers to 9 of 9 blocks"],
    ),
    "all held": (LEAK, HELD, ["kept: 9 of 9 blocks can be reached"]),
    "all held, and it is no leak": (CHURN, HELD, []),
    "no verdict": (None, HELD, []),
    "none could be told": (LEAK, Reach(9, 0, 0, 0, 9, 3), []),
    "some lost": (LEAK, Reach(9, 3, 0, 6, 0, 3), ["nothing refers to 3 of 9 blocks"]),
    "some with others": (LEAK, Reach(9, 3, 1, 5, 0, 3), ["nothing in use refers to 4 of 9 blocks"]),
    "too few": (LEAK, Reach(1, 1, 0, 0, 0, 3), ["nothing refers to 1 of 1 block"]),
    "most lost": (
        LEAK,
        Reach(20, 18, 0, 2, 0, 3),
        ["2 of 20 blocks can be reached: in use, or a pointer was left behind"],
    ),
    "one freed": (
        LEAK,
        Reach(9, 9, 0, 0, 0, 3, freed_after=1),
        ["not lost: 1 block that nothing had referred to was freed after all"],
    ),
    "a holder": (
        LEAK,
        held_by(Holder(9, 9, "sessions", "server, server.c:88", (2,))),
        ["held by sessions (server, server.c:88), through table::insert (stack 2)"],
    ),
    "a holder of a call stack that is no leak": (
        CHURN,
        held_by(Holder(9, 9, "sessions")),
        ["held by sessions"],
    ),
    "holders of some": (
        LEAK,
        held_by(Holder(5, 9, "sessions"), Holder(4, 9, "a register of thread 7")),
        [
            "held by sessions: 5 of 9 blocks looked at",
            "held by a register of thread 7: 4 of 9 blocks looked at",
        ],
    ),
    "more holders than are shown": (
        LEAK,
        held_by(*(Holder(1, 5, f"slot+{number}") for number in range(5))),
        [
            *(f"held by slot+{number}: 1 of 5 blocks looked at" for number in range(3)),
            "... 2 more holders (JSON lists them all)",
        ],
    ),
    "through itself, one without a name, and one that is not there": (
        LEAK,
        held_by(Holder(9, 9, "head", None, (1, 3, 77, 78))),
        ["held by head, through others of this stack, stack 3, other blocks"],
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_sentences(row):
    verdict, reach, sentences = row
    one = site(1, verdict=verdict, reach=reach)
    assert [*describe_references(one, OTHERS)] == sentences


def test_where_ranks_mean_nothing_no_site_is_named_by_one():
    one = site(1, verdict=LEAK, reach=held_by(Holder(9, 9, "head", None, (1, 2))))
    assert [*describe_references(one)] == ["held by head, through other blocks"]


@pytest.mark.parametrize(
    ("reaches", "said"),
    [
        ([], "no outstanding block was looked for"),
        ([None, HELD], "nothing refers to 0 of 9 outstanding blocks"),
        (
            [Reach(5000, 412, 0, 4588, 0, 3), Reach(3, 0, 3, 0, 0, 3)],
            "nothing in use refers to 415 of 5,003 outstanding blocks",
        ),
    ],
)
def test_summary(reaches, said):
    made = report(
        *(site(rank, reach=reach) for rank, reach in enumerate(reaches, start=1)),
        window=replace(WINDOW, references=REFERENCES),
    )
    assert describe_search(made) == f"3 looks in 900 ms, 1.2 GiB read: {said}"


def test_summary_without_a_search():
    assert describe_search(report(site())) is None
    assert describe_search(SAMPLES["not-searched"]) == "not searched: the process ended meanwhile"
    text = str(make_renderer("plain", top=1, width=None, color=False).render(report(site())))
    assert "references:" not in text


def test_page():
    page = str(make_renderer("html", top=10, width=None, color=False).render(SAMPLES["reached"]))
    assert "<b>1</b>of them lost: nothing refers to their blocks" in page
    assert '<p class="evidence">lost: nothing in the process refers to 8 of 9 blocks' in page
    assert "held by sessions (server, server.c:88), through others of this stack" in page
    assert (
        "<dt>references</dt><dd>3 looks in 900 ms, 1.2 GiB read: nothing in use refers to 23"
        in page
    )
    assert HOSTILE not in page
    assert "<script>\x1b" not in page
