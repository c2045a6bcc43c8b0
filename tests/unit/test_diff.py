"""What has changed from one report to another."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from reports import SAMPLES, TARGET, WINDOW, report, site

from gdbleak.errors import RecordingError
from gdbleak.renderers import make_renderer
from gdbleak.renderers.comparison import as_json, as_text
from gdbleak.report.comparison import Change, compare
from gdbleak.report.model import Frame, Verdict, Word
from gdbleak.report.reader import read_report

REACH = asdict(SAMPLES["reached"])["sites"][1]["reach"]
HOLDER = REACH["holders"][0]
MAIN = Frame(0x1010, "/srv/app", 0x10, "main", "app.c", 90)


def stack(function, blocks, block_bytes=100, line=1, **changes):
    """Return a site of a function that is called by main."""
    frame = Frame(0x2000 + line, "/srv/app", 0x1000 + line, function, "app.c", line)
    made = site(
        outstanding_bytes=blocks * block_bytes,
        outstanding_count=blocks,
        frames=(frame, MAIN),
        verdict=Verdict(Word.LEAK, f"0 of {blocks} freed"),
    )
    return replace(made, **changes)


def changes(before, after):
    differences = compare(report(*before), report(*after)).differences
    return {difference.site.frames[0].function: difference.change for difference in differences}


def test_what_became_of_each():
    before = [stack(f, 400) for f in ("fixed", "slowed", "quick", "steady")]
    after = [
        stack("quick", 4000, line=7),
        stack("slowed", 100),
        stack("steady", 420),
        stack("added", 10),
    ]
    assert changes(before, after) == {
        "added": Change.NEW,
        "quick": Change.FASTER,
        "steady": Change.SAME,
        "slowed": Change.SLOWER,
        "fixed": Change.GONE,
    }


def test_the_most_urgent_come_first():
    made = compare(
        report(stack("fixed", 9000), stack("quick", 10)),
        report(stack("added", 10), stack("other", 20), stack("quick", 900)),
    )
    functions = [difference.site.frames[0].function for difference in made.differences]
    assert functions == ["other", "added", "quick", "fixed"]


def test_chance_makes_no_difference():
    assert changes([stack("f", 9)], [stack("f", 15)]) == {"f": Change.SAME}
    assert changes([stack("f", 900)], [stack("f", 1500)]) == {"f": Change.FASTER}


def test_windows_of_different_lengths():
    longer = report(stack("f", 4000), window=replace(WINDOW, duration_s=100.0))
    made = compare(report(stack("f", 400)), longer)
    assert made.differences[0].change is Change.SAME
    assert any("three times as long" in note for note in made.notes)


def test_lines_and_addresses_do_not_matter():
    other_build = stack("f", 400, line=77)
    assert changes([stack("f", 400)], [other_build]) == {"f": Change.SAME}


def test_without_symbols_the_place_in_the_file_counts():
    frames = [(Frame(base + 0x40, "/srv/lib.so", 0x40),) for base in (0x7F0000, 0x7E0000)]
    before, after = (report(site(frames=frames[n], outstanding_count=400)) for n in (0, 1))
    made = compare(before, after)
    assert [difference.change for difference in made.differences] == [Change.SAME]
    assert sum("names no function" in note for note in made.notes) == 2


def test_stacks_that_are_known_alike_count_together():
    before = [stack("f", 300, line=1), stack("f", 100, line=2)]
    [difference] = compare(report(*before), report(stack("f", 400))).differences
    assert (difference.change, difference.before.outstanding_count) == (Change.SAME, 400)


def test_estimates_have_bounds():
    def bounds(low, high):
        return {"outstanding_bytes_low": low, "outstanding_bytes_high": high}

    before = stack("f", 400, **bounds(39_000, 41_000))
    assert changes([before], [stack("f", 900, **bounds(10_000, 900_000))]) == {"f": Change.SAME}
    assert changes([before], [stack("f", 900, **bounds(80_000, 99_000))]) == {"f": Change.FASTER}


def test_different_programs():
    other = report(stack("f", 4), target=replace(TARGET, exe="/srv/other"))
    notes = compare(report(stack("f", 4)), other).notes
    assert notes == ("these are reports of different programs, fibonacci and other",)


COMPARISON = compare(
    report(stack("fixed", 400), stack("steady", 400)),
    report(stack("added_for_ever", 400), stack("steady", 400)),
)


@pytest.mark.parametrize("width", [80, 160])
def test_text_fits(width):
    text = as_text(COMPARISON, 20, width)
    assert max(map(len, text.splitlines())) <= width


def test_text():
    text = as_text(COMPARISON, 20, None)
    assert text.isascii()
    lines = text.splitlines()
    assert lines[0].startswith("before: fibonacci (pid 4242)")
    assert [line.split()[1] for line in lines[5:8]] == ["new", "same", "gone"]
    assert "1 new, 0 faster, 1 same, 0 slower, 1 gone" in lines
    assert "  leak: 0 of 400 freed" in lines
    assert "2 are not shown: see --top" in as_text(COMPARISON, 1, None)


@pytest.mark.parametrize(("which", "name"), [((0,), "first"), ((1,), "second"), ((), None)])
def test_a_recording_that_is_cut_off(which, name):
    cut_off = replace(WINDOW, complete=False)
    made = [
        replace(report(stack("f", 4)), window=cut_off if number in which else WINDOW)
        for number in range(2)
    ]
    notes = [note for note in compare(*made).notes if "cut off" in note]
    said = f"the {name} recording is cut off before its window ended: it shows too little"
    assert notes == [said] * len(which)
    assert (f"note: {said}\n" in as_text(compare(*made), 20, None)) == bool(which)


def test_json():
    made = json.loads(as_json(COMPARISON))
    assert [difference["change"] for difference in made["differences"]] == ["new", "same", "gone"]
    new = made["differences"][0]
    assert (new["before"]["bytes_per_s"], new["after"]["bytes_per_s"]) == (0.0, 4000.0)
    assert new["stack"] == ["added_for_ever", "main"]


def write(made):
    return make_renderer("json", top=10, width=None, color=False).render(made)


@pytest.mark.parametrize("name", SAMPLES)
def test_json_report_is_read_as_it_was(name):
    made = SAMPLES[name]
    read = read_report(write(made), "report.json")
    assert write(read) == write(made)
    assert [s.caller and s.caller.function for s in read.sites] == [
        s.caller and s.caller.function for s in made.sites
    ]


def test_report_of_before_there_were_verdicts():
    values = json.loads(write(report(stack("f", 4))))
    del values["history"], values["outlook"], values["memory"]["rest"]
    for one in values["sites"]:
        del one["verdict"], one["history"]
    read = read_report(json.dumps(values), "old.json")
    assert (read.sites[0].verdict, read.outlook) == (None, None)


def test_report_of_before_references_were_searched_for():
    values = json.loads(write(SAMPLES["reached"]))
    del values["window"]["references"]
    for one in values["sites"]:
        del one["reach"]
    read = read_report(json.dumps(values), "old.json")
    assert read.window.references is None
    assert {(one.reach, one.is_lost) for one in read.sites} == {(None, False)}


def test_what_nothing_refers_to_in_both():
    made = SAMPLES["reached"]
    comparison = compare(made, made)
    assert sum(difference.after.unreached for difference in comparison.differences) == 23
    [difference] = json.loads(as_json(compare(report(), report(made.sites[1]))))["differences"]
    assert difference["after"]["unreached"] == 0
    text = as_text(compare(report(), report(made.sites[1])), top=10, width=None)
    assert "held by sessions (server, server.c:88), through other blocks: 60 of 64" in text


@pytest.mark.parametrize(
    "reach",
    [
        [],
        {"looked_at": 5},
        {**REACH, "lost": "x"},
        {**REACH, "held": -1},
        {**REACH, "holders": 7},
        {**REACH, "holders": [{"blocks": 1}]},
        {**REACH, "holders": [{**HOLDER, "root": 5}]},
        {**REACH, "holders": [{**HOLDER, "through": ["x"]}]},
    ],
)
def test_reach_must_be_of_its_kind(reach):
    values = json.loads(write(report(stack("f", 4))))
    values["sites"][0]["reach"] = reach
    with pytest.raises(RecordingError, match="damaged"):
        read_report(json.dumps(values), "x.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither a recording nor a report"),
        ("{", "neither a recording nor a report"),
        ("[]", "it has no schema"),
        ('{"schema": "gdbleak.report/3"}', "its schema is 'gdbleak.report/3'"),
        ('{"schema": "gdbleak.report/1"}', "is damaged"),
        ('{"schema": "gdbleak.report/2"}', "is damaged"),
        ('{"schema": "gdbleak.report/1", "window": 7}', "is damaged"),
    ],
)
def test_what_is_no_report(text, said):
    with pytest.raises(RecordingError, match=said):
        read_report(text, "x.json")


def test_verdict_that_a_later_gdbleak_knows():
    values = json.loads(write(report(stack("f", 4))))
    values["sites"][0]["verdict"]["word"] = "lost"
    with pytest.raises(RecordingError, match="only a later gdbleak can know the verdict 'lost'"):
        read_report(json.dumps(values), "x.json")


def test_sites_must_be_whole():
    values = json.loads(write(report(stack("f", 4))))
    del values["sites"][0]["rank"]
    with pytest.raises(RecordingError, match="damaged: it lacks rank"):
        read_report(json.dumps(values), "x.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("outstanding_bytes", "x"), ("bytes_per_s", None), ("kind", 3), ("oldest_s", "old")),
        *(("outstanding_count", -1), ("bytes_per_s", float("nan")), ("oldest_s", float("inf"))),
        *(("history", ["x"]), ("outstanding_bytes", True), ("outstanding_bytes", 10**60)),
    ],
)
def test_fields_must_be_of_their_kind(name, value):
    values = json.loads(write(report(stack("f", 4))))
    values["sites"][0][name] = value
    with pytest.raises(
        RecordingError, match=f"damaged: {name} cannot be |is not a number|60 digits|61 digits"
    ):
        read_report(json.dumps(values), "x.json")
