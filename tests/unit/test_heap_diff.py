"""Reports of heaps that are read again, and what has changed from one to another."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import reports
from heap_reports import (
    CORE,
    GROWING,
    JEMALLOC,
    KIB,
    MANY_ARENAS,
    MIB,
    SAMPLES,
    arena,
    mapping,
    report,
    size,
)

from gdbleak.cli import main
from gdbleak.errors import RecordingError
from gdbleak.renderers import make_renderer
from gdbleak.renderers.heap import HEAP_FORMATS
from gdbleak.renderers.heap.comparison import as_json, as_text
from gdbleak.report.heap import Amount, HeapReport, MappingKind, Taking
from gdbleak.report.heap_comparison import compare_heaps
from gdbleak.report.heap_reader import is_heap_report, read_heap_report

LATER = "2024-05-06T09:08:09+02:00"


def write(made: HeapReport) -> str:
    return HEAP_FORMATS["json"].render(made, 1, None)


@pytest.mark.parametrize("name", SAMPLES)
def test_report_is_read_as_it_was(name):
    text = write(SAMPLES[name])
    assert read_heap_report(text, "x.heap") == SAMPLES[name]
    assert is_heap_report(text)


def test_findings_are_made_anew():
    values = json.loads(write(GROWING))
    values["findings"] = [{"text": "all is well", "command": "rm -r /"}]
    assert read_heap_report(json.dumps(values), "x.heap") == GROWING


def test_what_a_later_version_adds_is_passed_over():
    values = json.loads(write(GROWING))
    values["more"] = values["taking"]["more"] = values["sizes"][0]["more"] = 7
    assert read_heap_report(json.dumps(values), "x.heap") == GROWING


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ('{"schema": "gdbleak.heap/2"}', True),
        ('{"note": "gdbleak.heap/1", "schema": "gdbleak.report/1"}', False),
        ('["gdbleak.heap/1"]', False),
        ('{"schema": "gdbleak.heap/1"', False),
        ('{"schema": ["gdbleak.heap/1"]}', False),
        ("", False),
    ],
)
def test_what_is_a_report_of_a_heap(text, is_one):
    assert is_heap_report(text) == is_one


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a report of a heap: its JSON is broken"),
        ("{", "is not a report of a heap"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "it has no schema"),
        ('{"schema": "gdbleak.heap/2"}', "can read: its schema is 'gdbleak.heap/2'"),
        ('{"schema": "gdbleak.report/1"}', "its schema is 'gdbleak.report/1'"),
        ('{"schema": "gdbleak.heap/1"}', "is damaged: it lacks "),
        ('{"schema": "gdbleak.heap/1", "taking": 7}', "is damaged"),
    ],
)
def test_what_is_no_report_of_a_heap(text, said):
    with pytest.raises(RecordingError, match=said) as caught:
        read_heap_report(text, "x.heap")
    assert "gdbleak heap PID --save FILE" in caught.value.help_text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("pid",), "x"),
        (("pid",), None),
        (("command",), 7),
        (("notes",), [7]),
        (("in_use", "count"), -1),
        (("in_use",), []),
        (("taking", "took_s"), "long"),
        (("taking", "unsettled"), 7),
        (("sizes",), {}),
        (("sizes", 0, "low"), 1.5),
        (("sizes", 0, "free"), None),
        (("sizes", 0, "growth"), 7),
        (("sizes", 0, "growth", "count_per_s"), None),
        (("sizes", 0, "growth", "history"), ["x"]),
        (("arenas", 0, "address"), 7),
        (("arenas", 0, "address"), "here"),
        (("arenas", 0, "address"), "0x" + "f" * 17),
        (("arenas", 0, "heaps", 0), ["0x1", "0x2"]),
        (("arenas", 0, "free", 0, "where"), "attic"),
        (("arenas", 0, "free", 0, "where"), ["top"]),
        (("arenas", 0, "pin"), {"address": "0x10"}),
        (("arenas", 0, "threads"), "worker"),
        (("mappings", 0, "kind"), "garden"),
        (("mappings", 0, "end"), "0x1"),
        (("mappings", 0, "resident_bytes"), "all"),
        (("allocators", 0, "sizes"), None),
        (("allocators", 0, "mapped"), None),
        (("lost", "trees", 0, "is_cycle"), 1),
        (("lost", "trees", 0, "content"), 1),
        (("lost", "total"), None),
    ],
)
def test_fields_must_be_of_their_kind(path, value):
    whole = replace(GROWING, lost=SAMPLES["lost"].lost, allocators=JEMALLOC.allocators)
    values: Any = json.loads(write(whole))
    inner = values
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(RecordingError, match=r"x\.heap is damaged: ") as caught:
        read_heap_report(json.dumps(values), "x.heap")
    assert "take another census" in caught.value.help_text


@pytest.mark.parametrize("field", ["pid", "taking", "sizes", "mappings", "in_use"])
def test_fields_must_be_there(field):
    values = json.loads(write(report()))
    del values[field]
    with pytest.raises(RecordingError, match=f"damaged: it lacks .*{field}"):
        read_heap_report(json.dumps(values), "x.heap")


def test_word_that_only_a_later_version_knows():
    values = json.loads(write(report()))
    values["mappings"][0]["kind"] = "garden"
    with pytest.raises(RecordingError, match="only a later gdbleak can know 'garden'"):
        read_heap_report(json.dumps(values), "x.heap")


def changes(before, after):
    made = compare_heaps(report(sizes=before), report(sizes=after))
    return [(one.low, one.high, one.count, one.bytes) for one in made.sizes]


def test_sizes_that_changed_most_come_first():
    before = (size(24, 100), size(40, 1000), size(56, 7), size(72, 3))
    after = (size(72, 9), size(56, 7), size(24, 200), size(88, 1))
    assert changes(before, after) == [
        (40, 40, -1000, -48_000),
        (24, 24, 100, 3200),
        (72, 72, 6, 480),
        (88, 88, 1, 96),
    ]


def test_classes_of_large_blocks_that_overlap_count_together():
    before = (size(1040, 2, high=1200), size(1500, 3, high=1528), size(2064, 1, high=2500))
    after = (size(1100, 4, high=1510), size(1536, 1, high=2000), size(2064, 1, high=2500))
    assert [each[:3] for each in changes(before, after)] == [(1040, 1528, -1), (1536, 2000, 1)]


def test_by_the_hour():
    later = report(taken_at=LATER, sizes=(size(24, 4150),))
    made = compare_heaps(report(sizes=(size(24, 150),)), later)
    assert made.seconds == 7200
    assert made.by_hour(made.sizes[0].bytes) == 64_000
    assert made.grows is made.sizes[0]
    text = as_text(made, 20, 80)
    assert "        2.0 h later\n" in text
    assert "\n  24   4,150  +4,000  4,800 B  130 KiB  +125 KiB  +62.5 KiB\n" in text
    assert text.endswith("\nNext: gdbleak trace 4711 --size 24\n")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pid": 5}, "these are of different processes, 4711 and 5: a change is not a growth"),
        ({"command": "/bin/cat"}, "these are of different programs, sessiond and cat"),
        ({"command": "/usr/sbin/sessiond"}, "the process has another command line"),
        ({"taken_at": "2024-05-06T07:08:09+02:00"}, "the first was not taken before the second"),
        ({"taken_at": "2024-05-06T07:08:10"}, "the first was not taken before the second"),
        ({"taken_at": "yesterday"}, "the first was not taken before the second"),
    ],
)
def test_what_cannot_be_said_by_the_hour(changed, said):
    after = replace(report(taken_at=LATER, sizes=(size(24, 9999),)), **changed)
    made = compare_heaps(report(), after)
    assert (made.seconds, made.grows) == (None, None)
    [note] = made.notes
    assert said in note
    text = as_text(made, 20, 80)
    assert "Per hour" not in text
    assert "Next" not in text


def test_nothing_to_type_for_a_core_file():
    after = replace(GROWING, core="core.4711", taken_at=LATER)
    made = compare_heaps(report(), after)
    assert made.seconds == 7200
    assert made.grows is None


def test_unclear_heaps():
    unclear = replace(report(taken_at=LATER), taking=Taking(1.0, None, unclear_bytes=KIB))
    [note] = compare_heaps(report(), unclear).notes
    assert note == "the second could not make out more than a hundredth of the heap"


def test_totals():
    made = compare_heaps(report(), replace(MANY_ARENAS, taken_at=LATER))
    totals = {change.name: (change.before, change.after, change.change) for change in made.totals}
    assert totals["arenas"] == (1, 13, 12)
    assert totals["got from the kernel"] == (132 * KIB, 13 * 132 * KIB, 12 * 132 * KIB)
    assert [change.name for change in made.arenas] == [f"arena {n}" for n in range(1, 13)]
    text = as_text(made, 5, 80)
    assert "\n7 more arenas: see --top 12\n" in text


def test_other_allocators():
    [jemalloc, _] = JEMALLOC.allocators
    after = replace(JEMALLOC, allocators=(replace(jemalloc, resident_bytes=600 * MIB),))
    totals = {change.name: change.change for change in compare_heaps(JEMALLOC, after).totals}
    assert totals["resident, jemalloc"] == 100 * MIB
    assert totals["resident, mimalloc"] == -3 * MIB


def test_kinds_of_mappings():
    large = mapping(0x7F0000000000, 8 * MIB, MappingKind.ANONYMOUS, "anonymous memory")
    made = compare_heaps(report(), report(mappings=(*report().mappings, large, large)))
    first = made.kinds[0]
    assert (first.kind, first.count.change, first.size.change, first.resident.change) == (
        MappingKind.ANONYMOUS,
        2,
        16 * MIB,
        4 * MIB,
    )
    assert "\nanonymous  0 -> 2  +16.0 MiB       0 B  4.0 MiB  +4.0 MiB\n" in as_text(made, 5, 80)


def test_unknown_figures_are_not_made_up():
    made = compare_heaps(report(), replace(CORE, taken_at=LATER))
    totals = {change.name: change.change for change in made.totals}
    assert totals["resident"] is None
    assert {change.resident.change for change in made.kinds} == {None, -2048}  # of the vDSO
    assert json.loads(as_json(made))["totals"][0]["per_hour"] is None
    assert "resident              3.0 MiB         ?       ?         ?\n" in as_text(made, 5, 80)


def test_nothing_has_changed():
    text = as_text(compare_heaps(report(), report(taken_at=LATER)), 5, 80)
    assert "No size of blocks has changed." in text
    assert "Address space" not in text
    assert "Next" not in text


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", SAMPLES)
def test_text_fits(name, width):
    made = compare_heaps(SAMPLES[name], replace(GROWING, taken_at=LATER))
    text = as_text(made, 20, width)
    assert max(map(len, text.splitlines())) <= width
    assert all(line.isprintable() for line in text.splitlines())
    assert as_text(made, 20, None).isascii()


def test_json():
    made = json.loads(as_json(compare_heaps(report(), replace(GROWING, taken_at=LATER))))
    assert made["schema"] == "gdbleak.heap-diff/1"
    assert (made["seconds"], made["before"]["pid"], made["notes"]) == (7200, 4711, [])
    assert made["sizes"][0] == {
        "low": 24,
        "high": 24,
        "before": {"count": 150, "bytes": 4800},
        "after": {"count": 37_012_440, "bytes": 1_184_398_080},
        "count_change": 37_012_290,
        "bytes_change": 1_184_393_280,
        "bytes_per_hour": 592_196_640.0,
    }
    assert {each["name"]: each["unit"] for each in made["totals"]}["arenas"] == "count"


@pytest.fixture
def files(tmp_path):
    """Return the paths of two heaps, of a trace's report, and of a damaged heap."""
    texts = {
        "before.heap": write(report()),
        "after.json": write(replace(GROWING, taken_at=LATER)),
        "trace.json": make_renderer("json", top=1, width=None, color=False).render(
            reports.SAMPLES["one-site"]
        ),
        "damaged.heap": '{"schema": "gdbleak.heap/1"}',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(str(text))
    return {name: str(tmp_path / name) for name in texts}


def test_command(files, capsys):
    assert main(["diff", files["before.heap"], files["after.json"]]) == 0
    assert capsys.readouterr().out.endswith("\nNext: gdbleak trace 4711 --size 24\n")
    names = ["diff", files["before.heap"], files["after.json"], "--format", "json"]
    assert main(names) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "gdbleak.heap-diff/1"


@pytest.mark.parametrize(
    ("before", "after", "status", "said"),
    [
        ("before.heap", "trace.json", 2, "before.heap is about a heap, and "),
        ("trace.json", "before.heap", 2, "trace.json about a trace: they have nothing to compare"),
        ("before.heap", "damaged.heap", 5, "damaged.heap is damaged: it lacks"),
        ("before.heap", "before.heap", 2, "both reports are the same file"),
    ],
)
def test_bad_input(files, capsys, before, after, status, said):
    assert main(["diff", files[before], files[after]]) == status
    lines = capsys.readouterr().err.splitlines()
    assert said in lines[0]
    assert len(lines) == 2
    assert lines[1].startswith("  try: ")


def test_arenas_that_are_alike_are_left_out():
    one = report(arenas=(arena(), arena(1)))
    two = replace(one, arenas=(arena(), arena(1, system_bytes=9 * MIB)), in_use=Amount(1, 1))
    assert [change.name for change in compare_heaps(one, two).arenas] == ["arena 1"]
