"""Every format through the same reports; whole outputs against the files in `golden/`.

After a wanted change, write those files anew with `UPDATE_GOLDEN=1 pytest` and read the diff.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from reports import (
    FIBONACCI,
    HOSTILE,
    INLINE,
    MEMORY,
    REFERENCES,
    SAMPLES,
    TARGET,
    WINDOW,
    report,
    site,
)

from gdbleak.errors import UsageError
from gdbleak.recording.chosen import Chosen
from gdbleak.recording.end import EndedBy, Verification
from gdbleak.renderers import FORMATS, format_for, make_renderer
from gdbleak.report.model import Frame, OutstandingBlock, Report, Verdict, Word
from gdbleak.report.window import GrowingSize, HeapWindow, Sampling

CHOSEN = Chosen("inline", "66,000 calls/s are too many for breakpoints within 30 %")
GOLDEN = Path(__file__).parent / "golden"
DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "report.schema.json").read_text())
READ_AS_TEXT = ("table", "plain", "markdown", "csv", "json")
"""The others have tests of their own."""

REACH = SAMPLES["reached"].sites[1].reach

TEXTS = ("table", "plain", "markdown")
"""The formats for people."""

UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def render(name: str, sample: Report, top: int = 10, width: int = 80, **options: bool) -> str:
    chosen = {"color": False, **options}
    return str(make_renderer(name, top=top, width=width, **chosen).render(sample))


@pytest.fixture(params=READ_AS_TEXT)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[*SAMPLES.values()], ids=[*SAMPLES])
def sample(request: pytest.FixtureRequest) -> Report:
    found = request.param
    assert isinstance(found, Report)
    return found


def test_every_format_renders_every_report(name: str, sample: Report) -> None:
    text = render(name, sample)
    assert text.endswith("\n")
    assert not re.search(r"[ \t]$", text, re.MULTILINE)
    assert not UNSAFE.search(text)


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize(
    "shape",
    ["one-site", "many-sites", "incomplete", "nothing-outstanding", "sampled", "inline", "reached"],
)
def test_golden(name: str, shape: str, width: int) -> None:
    compare_with_golden(name, shape, width)


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("form", TEXTS)
def test_golden_of_recursion(form: str, width: int) -> None:
    compare_with_golden(form, "recursion", width)


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("shape", ["sampled", "inline", "incomplete", "reached"])
def test_golden_of_everything(form: str, shape: str) -> None:
    compare_with_golden(form, shape, 80, "-verbose", verbose=True)


def compare_with_golden(
    name: str, shape: str, width: int, ending: str = "", **options: bool
) -> None:
    golden = GOLDEN / f"{shape}{ending}-{width}.{name}.txt"
    if name not in ("table", "plain"):  # no other format knows a width
        golden = GOLDEN / f"{shape}{ending}.{name}.txt"
    text = render(name, SAMPLES[shape], top=4, width=width, **options)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("form", TEXTS)
def test_mapping_is_called_one(form: str) -> None:
    text = render(form, report(site(kind="file mapping")))
    assert "[file mapping] fibonacci" in text.replace("\\", "")
    assert re.search(r"Stack 1\W.* file mappings", text)


@pytest.mark.parametrize("form", TEXTS)
def test_rows_of_one_line_are_told_apart(form: str) -> None:
    caller = replace(FIBONACCI[0], function="Log::add", file="log.cpp", line=7)
    names = "std::vector<int>::push_back(int&&)", "std::map<int, Log>::emplace(int&&)"
    sites = [
        site(rank, (replace(FIBONACCI[1], function=name), caller), caller=caller)
        for rank, name in enumerate(names, 1)
    ]
    for wanted in ("push_back", "emplace"):
        assert re.search(
            rf"Log::add log\.cpp:7 \(\w+\), calling std::\w+::{wanted}",
            render(form, report(*sites), width=200).replace("\\", ""),
        )
    assert "calling" not in render(form, report(sites[0]), width=200)


@pytest.mark.parametrize("form", [*TEXTS, "html"])
def test_blocks_that_are_too_young_to_count(form: str) -> None:
    made = report(site(allocated_count=12), older_ms=500.0)
    said = "Blocks younger than 500 ms at the end do not count (--older)."
    assert said in render(form, made, width=200).replace("\\", "")
    assert "--older" not in render(form, report(site(), older_ms=500.0), width=200)


@pytest.mark.parametrize("form", TEXTS)
def test_both_pids_of_a_process_in_a_container(form: str) -> None:
    sample = report(target=replace(TARGET, namespace_pid=7))
    assert "fibonacci (pid 4242, 7 in its container): " in render(form, sample)
    text = render(form, sample, verbose=True)
    assert "fibonacci (pid 4242, 7 in its container), glibc" in text


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("form", ["table", "plain"])
def test_lines_fit(form: str, width: int, sample: Report) -> None:
    assert max(map(len, render(form, sample, top=20, width=width).splitlines())) <= width


@pytest.mark.parametrize("width", [1, 40, 80])
@pytest.mark.parametrize("form", ["table", "plain"])
def test_numbers_are_never_cut(form: str, width: int) -> None:
    largest = site(
        99_999,
        outstanding_bytes=1023 * 1024**5,
        outstanding_count=9_999_999,
        allocated_count=9_999_998,
        freed_count=9_999_997,
        bytes_per_s=1022 * 1024**4,
        verdict=Verdict(Word.TURNOVER, "as many are freed"),
    )
    lines = render(form, report(largest), width=width).splitlines()
    numbers = "99999  1023 PiB  9,999,999  9,999,998  9,999,997  1022 TiB  turnover?"
    assert any(line.startswith(numbers) for line in lines)


def test_plain_without_a_width_keeps_a_site_on_a_line() -> None:
    renderer = make_renderer("plain", top=10, width=None, color=False)
    lines = renderer.render(SAMPLES["many-sites"]).splitlines()
    assert sum("stl_tree.h:2451" in line and "2.0 MiB" in line for line in lines) == 1


def test_plain_is_ascii(sample: Report) -> None:
    assert render("plain", sample).isascii()


@pytest.mark.parametrize("form", TEXTS)
def test_more_sites_than_shown(form: str) -> None:
    text = render(form, SAMPLES["many-sites"], top=4)
    assert "10 more call stacks with 10.3 KiB outstanding: see --top 14\n" in text
    assert "more call stack" not in render(form, SAMPLES["many-sites"], top=14)
    assert "1 more call stack with" in render(form, SAMPLES["many-sites"], top=13)


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("ended_by", EndedBy)
def test_every_ending_has_words(form: str, ended_by: EndedBy) -> None:
    ended = report(window=replace(WINDOW, ended_by=ended_by))
    assert f"ended by {ended_by.value}" not in render(form, ended)
    assert f"| `{ended_by.value}` |" in (DOCS / "json-report.md").read_text()


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [
        ("one-site", "yes; seen to run on for 1.0 s"),
        (
            "incomplete",
            "no: process 77 traces it, it is stopped, its code differs from its file",
        ),
        ("nothing-known", "unknown: the process has ended"),
        ("cut-off", "unknown: the recording is cut off"),
    ],
)
def test_target_left_as_found(shape: str, verdict: str) -> None:
    text = render("table", SAMPLES[shape], width=160, verbose=True)
    assert f"target left as found: {verdict}\n" in text


@pytest.mark.parametrize(
    ("death", "words"),
    [
        (
            "SIGTRAP",
            "SIGTRAP killed it within 0.3 s of the detach, so a breakpoint was left in it:"
            " restart it, and use another gdb",
        ),
        (
            "SIGSEGV",
            "SIGSEGV killed it within 0.3 s of the detach: look at its log, and restart it",
        ),
        (
            "unknown",
            "it ended within 0.3 s of the detach, and the kernel does not tell how: look at its"
            " log",
        ),
    ],
)
def test_process_that_dies_after_the_detach(death: str, words: str) -> None:
    proof = Verification(None, "S", None, None, False, ran_on_s=0.312, death=death)
    text = render("table", report(site(), verification=proof), width=200, verbose=True)
    assert f"target left as found: no: {words}\n" in text


def test_colour_only_where_wanted_and_only_as_decoration(sample: Report) -> None:
    coloured = render("table", sample, color=True)
    assert "\x1b[" in coloured
    undone = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    bare = [line.rstrip() for line in undone.splitlines()]
    assert bare == render("table", sample).splitlines()


def test_brackets_are_no_markup() -> None:
    frame = Frame(1, function="operator new[]")
    assert "operator new[]" in render("table", report(site(1, (frame,))), color=True)


@pytest.mark.parametrize("form", TEXTS)
def test_huge_names_are_shortened_for_people(form: str) -> None:
    assert len(render(form, SAMPLES["hostile"])) < 20_000


@pytest.mark.parametrize("form", ["csv", "json"])
def test_huge_names_are_whole_for_programs(form: str) -> None:
    assert "f" * 1_000_000 in render(form, SAMPLES["hostile"])


@pytest.mark.parametrize("form", TEXTS)
def test_recursion_is_collapsed_for_people(form: str) -> None:
    text = render(form, SAMPLES["recursion"], width=160)
    assert text.count("walk(Node*)") == 2
    assert "       ... 212 times in all, up to #212\n  #213 main " in text
    assert "       ... these 2 frames 106 times in all, up to #212\n  #213 is_even" in text
    assert "       ... 1,000 times in all, up to #999\n  ... deeper frames are unknown" in text


def test_recursion_is_whole_for_programs() -> None:
    sites = json.loads(render("json", SAMPLES["recursion"]))["sites"]
    assert [len(site["frames"]) for site in sites] == [214, 215, 7, 1000]
    assert sites[1]["frames"][1]["function"] == "is_even(unsigned long)"
    rows = list(csv.DictReader(io.StringIO(render("csv", SAMPLES["recursion"]))))
    assert rows[0]["stack"].count("walk(Node*)") == 212


def test_markdown_keeps_names_in_code_and_cells() -> None:
    lines = render("markdown", SAMPLES["hostile"]).splitlines()
    cells = [line for line in lines if line.startswith("| ")]
    separators = [len(re.findall(r"(?<!\\)\|", line)) for line in cells]
    assert set(separators) == {9}
    assert all(line.count("`") == 2 for line in (lines[0], *cells[1:]))
    assert [line for line in lines if line.startswith("```")] == ["```text", "```"] * 2


def test_csv_reads_back() -> None:
    rows = list(csv.DictReader(io.StringIO(render("csv", SAMPLES["many-sites"], top=1))))
    assert len(rows) == 15
    assert rows[0]["outstanding_bytes"] == "1288490188"
    assert rows[1]["truncated"] == "true"
    assert rows[3]["function"] == ""
    assert rows[4]["stack"] == (
        "fibonacci /srv/demo/fibonacci.c:23 (fibonacci)"
        " <- worker /srv/demo/fibonacci.c:41 (fibonacci)"
        " <- start_thread (libc.so.6) <- libc.so.6+0x1097dc"
    )


@pytest.mark.parametrize("start", "=+-@")
def test_csv_holds_no_formula(start: str) -> None:
    frame = Frame(1, function=f"{start}SUM(A1)", file=f"{start}f", module=f"{start}m")
    row = next(csv.DictReader(io.StringIO(render("csv", report(site(1, (frame,)))))))
    for column in ("function", "file", "module", "stack"):
        assert row[column].startswith(f"'{start}")


@pytest.mark.parametrize("name", ["table", "plain", "markdown", "html"])
def test_sizes_that_were_recorded(name: str) -> None:
    none = SAMPLES["nothing-outstanding"]
    some = replace(none, window=replace(none.window, sizes=(1000, 2000), allocations=0), sites=())
    text = " ".join(render(name, some, width=200, verbose=True).split())
    assert "only blocks of 1,000 to 2,000 bytes were recorded (--size)" in text
    assert "no block of the sizes that were recorded was allocated in the window." in text
    sampled = SAMPLES["sampled"]
    window = replace(sampled.window, sizes=(0, 24))
    text = " ".join(render(name, replace(sampled, window=window), width=200, verbose=True).split())
    assert "which fits the growth" not in text


SAMPLING = Sampling(9, 1.0, 100, 5000, scale=50.0, scale_low=10.0, scale_high=50.0)


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (
            SAMPLING,
            "each recorded block counts as 50, by the share of the calls that was recorded; what a"
            " clock triggers, as 10, for in bursts the process ran up to 5.0 times slower",
        ),
        (
            replace(SAMPLING, calls=None, scale=10.0),
            "each recorded block counts as 10, by the share of the time that was recorded; where it"
            " is busy, as up to 50, for in bursts the process ran up to 5.0 times slower",
        ),
        (
            replace(SAMPLING, calls=None, scale=10.0, scale_high=10.0),
            "each recorded block counts as 10, by the share of the time that was recorded (docs",
        ),
    ],
)
def test_what_a_recorded_block_stands_for(sampling: Sampling, said: str) -> None:
    window = replace(WINDOW, sampling=sampling)
    memory = replace(MEMORY, explained_bytes=None, outstanding_bytes=3 << 20)
    text = " ".join(
        render("plain", report(site(), window=window, memory=memory), verbose=True).split()
    )
    assert said in text
    assert "to compare: 3.0 MiB outstanding in all" in text
    assert "explained" not in text


def test_json_follows_its_schema(sample: Report) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(render("json", sample)), SCHEMA)


def test_json_keeps_names_and_addresses() -> None:
    made = json.loads(render("json", SAMPLES["hostile"]))
    assert made["target"]["command"] == HOSTILE
    assert made["notes"] == [HOSTILE]
    assert made["sites"][0]["function"] == HOSTILE
    assert made["sites"][0]["frames"][0]["address"] == "0x1000"
    assert made["sites"][0]["frames"][0]["offset"] == "0x0"
    frames = json.loads(render("json", report(site())))["sites"][0]["frames"]
    assert [frame["function"] for frame in frames] == [frame.function for frame in FIBONACCI]


def test_page_schema_and_output_name_the_same_fields() -> None:
    documented = {
        match[1]: match[2].strip()
        for match in re.finditer(
            r"^\| `([\w.\[\]]+)` +\| ([a-z ]+) \| [a-z ]* \| ",
            (DOCS / "json-report.md").read_text(),
            re.MULTILINE,
        )
    }
    # No window has all of it, but the page is about all fields.
    sampled = SAMPLES["sampled"]
    both = replace(
        sampled,
        window=replace(
            sampled.window, inline=INLINE, references=REFERENCES, sizes=(0, 24), probe=CHOSEN
        ),
        sites=tuple(replace(each, reach=REACH) for each in sampled.sites),
        heap=HeapWindow(11, 0.02, None, (GrowingSize(24, 24, 100, 200, 10.0, 95.0),)),
    )
    made = json.loads(render("json", both))
    assert documented == dict(_fields_of_schema(SCHEMA))
    assert list(documented) == list(dict.fromkeys(_fields_of_output(made)))


def _fields_of_schema(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, field in schema.get("properties", {}).items():
        yield from _field_of_schema(field, f"{path}{name}")


def _field_of_schema(field: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    kinds = field["type"]
    yield path, kinds if isinstance(kinds, str) else " or ".join(kinds)
    yield from _fields_of_schema(field, f"{path}.")
    if "items" in field:
        items = field["items"]
        if "properties" in items:
            yield from _fields_of_schema(items, f"{path}[].")
        else:
            yield from _field_of_schema(items, f"{path}[]")


def _fields_of_output(value: Any, path: str = "") -> Iterator[str]:
    if path and not path.endswith("[]"):
        yield path
    if isinstance(value, dict):
        for name, field in value.items():
            yield from _fields_of_output(field, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            if not isinstance(item, dict):
                yield f"{path}[]"
            yield from _fields_of_output(item, f"{path}[]")


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("report.json", "json"),
        ("/tmp/REPORT.JSON", "json"),
        ("a.b/leaks.md", "markdown"),
        ("leaks.txt", "plain"),
        ("leaks.csv", "csv"),
        ("leaks.pdf", None),
        ("json", None),
        ("", None),
    ],
)
def test_format_for(path: str, form: str | None) -> None:
    assert format_for(path) == form


def test_unknown_format() -> None:
    with pytest.raises(UsageError, match="no output format is called xml") as caught:
        render("xml", report())
    assert caught.value.help_text == f"choose from {', '.join(FORMATS)}"


@pytest.mark.parametrize(
    ("listed", "count", "said"),
    [
        (0, 30, []),
        (2, 2, ["0x1000  8,192 B  9.0 s old", "0x1001  8,192 B  9.0 s old"]),
        (25, 25, ["... 5 more blocks (JSON lists the oldest 25)"]),
        (1000, 1200, ["... 1,180 more blocks (JSON lists the oldest 1,000)"]),
    ],
)
def test_blocks_that_are_listed(listed: int, count: int, said: list[str]) -> None:
    blocks = tuple(OutstandingBlock(0x1000 + n, 8192, 9.0, 7) for n in range(listed))
    text = render("plain", report(site(blocks=blocks, outstanding_count=count)))
    lines = [line.strip() for line in text.splitlines() if line[:7] in ("    0x1", "    ...")]
    assert len(lines) == min(listed, 20) + (count > listed > 0 or listed > 20)
    assert lines[-len(said) :] == said if said else not lines
