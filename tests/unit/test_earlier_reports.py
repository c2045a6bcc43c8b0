"""JSON reports of version 1, as earlier versions of gdbleak wrote them, read by this one."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from gdbleak.errors import RecordingError
from gdbleak.renderers import make_renderer
from gdbleak.report.comparison import Change, compare
from gdbleak.report.model import SCHEMA, Recorded
from gdbleak.report.reader import read_report

FOLDER = Path(__file__).parent / "golden" / "earlier"
SAMPLED, WHOLE = ((FOLDER / f"{name}.json.txt").read_text() for name in ("sampled", "inline"))


def test_of_bursts_the_estimates_are_the_answer():
    values = json.loads(SAMPLED)
    assert values["schema"] == "gdbleak.report/1"
    [site, *_] = read_report(SAMPLED, "x.json").sites
    before = values["sites"][0]
    estimate = before["estimate"]
    assert site.outstanding_bytes == estimate["outstanding_bytes"] != before["outstanding_bytes"]
    assert site.outstanding_count == estimate["outstanding_count"]
    bounds = estimate["outstanding_bytes_low"], estimate["outstanding_bytes_high"]
    assert (site.outstanding_bytes_low, site.outstanding_bytes_high) == bounds
    assert site.bytes_per_s == estimate["bytes_per_s"]
    names = [each.name for each in fields(Recorded)]
    assert site.recorded == Recorded(**{name: before[name] for name in names})
    scale = values["window"]["sampling"]["scale"]
    assert site.allocated_count == round(before["allocated_count"] * scale)
    assert site.history[-1] == round(before["history"][-1] * scale)


def test_what_was_fitted_to_the_growth_does_not_explain_it():
    assert json.loads(SAMPLED)["memory"]["explained_bytes"] is not None
    assert read_report(SAMPLED, "x.json").memory.explained_bytes is None


def test_what_was_recorded_whole_is_what_it_was():
    before = json.loads(WHOLE)
    after = json.loads(
        make_renderer("json", top=1, width=None, color=False).render(read_report(WHOLE, "x.json"))
    )
    assert after["schema"] == SCHEMA
    for site in after["sites"]:
        for name in ("outstanding_bytes_low", "outstanding_bytes_high", "recorded"):
            assert site.pop(name) is None
    for site in before["sites"]:
        assert site.pop("estimate") is None
    assert after["sites"] == before["sites"]
    for name in ("probe", "speed", "max_pause_ms"):
        assert after["window"].pop(name) is None
    assert after["window"] == before["window"]


def test_earlier_and_later_reports_are_compared():
    later = read_report(SAMPLED, "x.json")
    again = read_report(
        str(make_renderer("json", top=1, width=None, color=False).render(later)), "y.json"
    )
    assert again == later
    changes = {each.change for each in compare(later, again).differences}
    assert changes == {Change.SAME}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("estimate", 5),
        ("estimate", {"outstanding_bytes": "x"}),
        ("freed_count", "2"),
        ("history", 7),
    ],
)
def test_damaged(name, value):
    values = json.loads(SAMPLED)
    values["sites"][0][name] = value
    with pytest.raises(RecordingError, match="damaged"):
        read_report(json.dumps(values), "x.json")
