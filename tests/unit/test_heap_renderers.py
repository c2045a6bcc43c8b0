"""Every format of a heap through the same reports; whole outputs against `golden/heap/`.

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
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from heap_reports import (
    GROWING,
    HOSTILE,
    JEMALLOC,
    KIB,
    LOST,
    MANY_ARENAS,
    MIB,
    SAMPLES,
    arena,
    mapping,
    report,
    size,
)

from gdbleak.renderers.heap import HEAP_FORMATS, heap_format_for
from gdbleak.renderers.heap.treemap import Box, lay_out
from gdbleak.report.heap import Amount, Free, HeapReport, MappingKind, Taking

GOLDEN = Path(__file__).parent / "golden" / "heap"
DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "heap.schema.json").read_text())
TEXTS = ("table", "plain", "markdown")
"""The formats for people."""

PLAIN_NAMES = [name for name in SAMPLES if name != "strange"]

UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def render(name: str, sample: HeapReport, top: int = 10, width: int | None = 80) -> str:
    return HEAP_FORMATS[name].render(sample, top, width)


@pytest.fixture(params=[*HEAP_FORMATS])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[*SAMPLES.values()], ids=[*SAMPLES])
def sample(request: pytest.FixtureRequest) -> HeapReport:
    found = request.param
    assert isinstance(found, HeapReport)
    return found


def test_every_format_renders_every_report(form: str, sample: HeapReport) -> None:
    text = render(form, sample)
    assert text.endswith("\n")
    assert not re.search(r"[ \t]$", text, re.MULTILINE)
    assert not UNSAFE.search(text)
    assert text.encode()


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", PLAIN_NAMES)
@pytest.mark.parametrize("form", [form for form in HEAP_FORMATS if form != "html"])
def test_golden(form: str, name: str, width: int) -> None:
    golden = GOLDEN / f"{name}-{width}.{form}.txt"
    if form not in ("table", "plain"):  # no other format knows a width
        golden = GOLDEN / f"{name}.{form}.txt"
    text = render(form, SAMPLES[name], top=5, width=width)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("form", ["table", "plain"])
def test_lines_fit(form: str, width: int, sample: HeapReport) -> None:
    assert max(map(len, render(form, sample, top=30, width=width).splitlines())) <= width


def test_plain_is_ascii(sample: HeapReport) -> None:
    assert render("plain", sample).isascii()
    assert HEAP_FORMATS["table"].render(sample, 10, 80, ascii_only=True).isascii()


def test_colour_is_mere_decoration(sample: HeapReport) -> None:
    coloured = HEAP_FORMATS["table"].render(sample, 10, 80, color=True)
    assert "\x1b[1m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render("table", sample)


def test_alarms_are_red() -> None:
    text = HEAP_FORMATS["table"].render(GROWING, 10, 160, color=True)
    assert "\x1b[1;31mGrowing: blocks of 24 bytes" in text


def test_order_of_what_a_terminal_shows() -> None:
    whole = replace(
        GROWING, lost=LOST.lost, allocators=JEMALLOC.allocators, notes=("something is missing",)
    )
    text = render("table", whole, width=160)
    titles = (
        *("Growing: ", "Lost blocks", "Mappings that nothing", "Blocks by size", "Arenas"),
        *("Allocator jemalloc", "Address space", "Largest mappings", "Taken at", "note: "),
    )
    places = [text.index(f"\n{title}") for title in titles]
    assert places == sorted(places)


@pytest.mark.parametrize("form", TEXTS)
def test_more_rows_than_shown(form: str) -> None:
    text = render(form, MANY_ARENAS, top=4)
    assert "9 more arenas with 1.2 MiB: see --top 13\n" in text
    assert "49 more mappings: see --top 53\n" in text
    text = render(form, report(sizes=tuple(size(n, 10) for n in (24, 40, 56))), top=2)
    assert "1 more size with 640 B: see --top 3\n" in text
    assert "more size" not in render(form, report(), top=4)


def test_sizes_can_be_typed_again() -> None:
    text = render("plain", report(sizes=(size(24, 10), size(1_048_568, 2, high=1_310_704))))
    assert "\n             24      10 " in text
    assert "\n1048568-1310704       2 " in text


def test_free_memory_by_where_it_is_kept() -> None:
    free = {place: Amount(1, KIB << number) for number, place in enumerate(Free)}
    one = arena(free=free, threads=("7 (a)", "8 (b)"))
    text = render("plain", report(arenas=(one,)), width=160)
    [row] = [line for line in text.splitlines() if line.startswith("0  ")]
    # tcache and fast bins; unsorted, small and large bins; top.
    assert re.split(r"  +", row)[4:7] == ["3,072 B", "28.0 KiB", "32.0 KiB"]
    assert row.endswith("  7 (a), 8 (b)")
    assert one.free_bytes == 63 * KIB


def test_threads_are_counted_where_there_is_no_room() -> None:
    crowd = arena(threads=tuple(f"{number} (worker)" for number in range(40)))
    assert render("plain", report(arenas=(crowd,))).count("  40\n") == 1
    assert "0 (worker), 1 (worker)" in render("markdown", report(arenas=(crowd,)))


@pytest.mark.parametrize("form", TEXTS)
def test_report_without_a_heap_of_glibc(form: str) -> None:
    text = render(form, JEMALLOC)
    assert "without a heap of glibc's malloc" in text
    assert "Allocator jemalloc" in text
    assert "Blocks by size" not in text
    assert "Arenas" not in text


@pytest.mark.parametrize("form", [*HEAP_FORMATS])
def test_report_that_holds_nothing(form: str) -> None:
    bare = report(libc=None, resident_bytes=None, sizes=(), arenas=(), mappings=())
    assert render(form, bare, width=None)


@pytest.mark.parametrize(
    ("taking", "said"),
    [
        (Taking(0.012, None), "12 ms; the process was neither attached to nor stopped."),
        (Taking(2.0, 41.5), "2.0 s; the process was stopped for 42 ms."),
        (Taking(2.0, None, 5, 60.0), "5 censuses, one every 60.0 s."),
        (Taking(2.0, None, unsettled=Amount(31, 9)), "31 blocks (10.0 %) changed whenever"),
        (Taking(2.0, None, unclear_bytes=8192), "In 8,192 B of the heap no blocks could be made"),
    ],
)
def test_how_it_was_taken(taking: Taking, said: str) -> None:
    assert said in render("plain", report(taking=taking), width=None)
    assert said in render("html", report(taking=taking))


@pytest.mark.parametrize("form", TEXTS)
def test_huge_names_are_shortened_for_people(form: str) -> None:
    endless = report(command="y" * 1_000_000, notes=("z" * 100,))
    assert len(render(form, endless)) < 20_000
    assert "y" * 1_000_000 in render("json", endless)


def test_markdown_keeps_names_in_code_and_cells() -> None:
    text = render("markdown", SAMPLES["strange"])
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
        elif not inside and "<script>" in line:
            assert line.count("`") == 2, line
    assert not inside
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_csv_reads_back() -> None:
    rows = list(csv.DictReader(io.StringIO(render("csv", GROWING, top=1))))
    assert [row["low"] for row in rows] == ["24", "1040", "40", "20971504", "72"]
    assert (rows[0]["allocator"], rows[0]["count"]) == ("glibc", "37012440")
    assert rows[0]["history"].split()[-1] == "37012440"
    assert float(rows[0]["bytes_per_s"]) * 3600 == pytest.approx(3.9 * MIB, rel=0.05)
    assert rows[4]["history"] == rows[4]["bytes_per_s"] == ""
    rows = list(csv.DictReader(io.StringIO(render("csv", JEMALLOC))))
    assert [(row["allocator"], row["high"]) for row in rows] == [
        ("jemalloc", "32"),
        ("jemalloc", "64"),
    ]


def test_csv_columns_are_documented() -> None:
    page = (DOCS / "heap-report.md").read_text().partition("## CSV")[2]
    for column in render("csv", GROWING).splitlines()[0].split(","):
        assert f"`{column}`" in page


def test_csv_holds_no_formula() -> None:
    bad = replace(JEMALLOC.allocators[0], name="=SUM(A1)")
    row = next(csv.DictReader(io.StringIO(render("csv", report(sizes=(), allocators=(bad,))))))
    assert row["allocator"] == "'=SUM(A1)"


def test_json_follows_its_schema(sample: HeapReport) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    made = render("json", sample)
    assert made.isascii()
    jsonschema.validate(json.loads(made), SCHEMA)


def test_json_keeps_names_and_addresses() -> None:
    made = json.loads(render("json", SAMPLES["strange"]))
    assert made["command"] == made["notes"][0] == made["lost"]["trees"][0]["what"] == HOSTILE
    assert made["mappings"][0]["start"] == "0x1000"
    assert made["arenas"][0]["pin"]["address"] == "0x7ffffffff000"
    assert json.loads(render("json", report()))["arenas"][0]["free"][0] == {
        "where": "tcache",
        "count": 12,
        "bytes": 800,
    }


def test_page_and_schema_name_the_same_fields() -> None:
    documented = {
        match[1]: match[2].strip()
        for match in re.finditer(
            r"^\| `([\w.\[\]]+)` +\| ([a-z ]+) \| [a-z ]* \| ",
            (DOCS / "heap-report.md").read_text(),
            re.MULTILINE,
        )
    }
    assert documented == dict(_fields(SCHEMA, "", set()))


def _fields(schema: dict[str, Any], path: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield each field and its type; those of what several fields hold, where it is first."""
    for name, field in schema["properties"].items():
        place = f"{path}{name}"
        parts = field.get("anyOf", [field])
        kinds = [part.get("type", "object") for part in parts]
        yield place, " or ".join(kinds if isinstance(kinds[0], str) else kinds[0])
        inner = field.get("items", parts[0])
        reference = inner.get("$ref", "")
        if reference in seen or (reference.endswith("/amount") and place != "in_use"):
            continue
        if reference:
            seen.add(reference)
            inner = SCHEMA["$defs"][reference.rpartition("/")[2]]
        if "properties" in inner:
            yield from _fields(inner, f"{place}[]." if "items" in field else f"{place}.", seen)


@pytest.mark.parametrize("word", [*MappingKind, *Free])
def test_every_word_is_documented(word: str) -> None:
    assert f"`{word}`" in (DOCS / "heap-report.md").read_text()


class Page(HTMLParser):
    """The tags of a page, and the text in them."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of a tag; none runs code, and none loads anything."""
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("src", "href", "style"), value
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Take note of text."""
        self.words.append(data)


def test_page_needs_no_network_and_runs_no_names(sample: HeapReport) -> None:
    page = Page(render("html", sample))
    assert page.tags.count("script") == 1
    assert not {"img", "iframe", "link", "object"} & {*page.tags}


def test_page_says_what_the_table_does() -> None:
    page = Page(render("html", GROWING))
    words = "".join(page.words)
    assert "gdbleak trace 4711 --size 24" in words
    assert "24 bytes: 1.1 GiB, " in words  # of the treemap
    assert "free, top: " in words
    assert page.tags.count("details") == len({each.kind for each in GROWING.mappings})
    assert page.tags.count("polyline") == 4


def test_page_shows_the_mappings_of_a_kind() -> None:
    many = [mapping(n << 20, 64 * KIB, MappingKind.FILE, f"/srv/file-{n}") for n in range(1, 301)]
    words = "".join(Page(render("html", report(mappings=tuple(many)))).words)
    assert "/srv/file-200" in words
    assert "100 more mappings: see --top 300" not in words
    assert "100 more mappings: a JSON report holds them all" in words


@pytest.mark.parametrize(
    ("values", "room"),
    [
        ([6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0], Box(0, 0, 6, 4)),
        ([1.0], Box(10, 20, 3, 400)),
        ([1e18, 1.0, 1e-9], Box(0, 0, 1000, 320)),
        ([5.0] * 500, Box(0, 0, 1000, 320)),
        ([], Box(0, 0, 6, 4)),
    ],
)
def test_treemap(values: list[float], room: Box) -> None:
    boxes = lay_out(values, room)
    assert len(boxes) == len(values)
    whole = room.width * room.height
    for value, box in zip(values, boxes):
        assert box.width * box.height == pytest.approx(
            whole * value / sum(values), rel=1e-3, abs=1e-6
        )
        assert box.x >= room.x - 1e-6
        assert box.y >= room.y - 1e-6
        assert box.x + box.width <= (room.x + room.width) * (1 + 1e-6)
        assert box.y + box.height <= (room.y + room.height) * (1 + 1e-6)


def test_boxes_of_a_treemap_are_nearly_squares() -> None:
    boxes = lay_out([6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0], Box(0, 0, 6, 4))
    # Those of the paper.
    ratios = [max(box.width / box.height, box.height / box.width) for box in boxes]
    assert max(ratios) < 3


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("before.heap", "json"),
        ("/tmp/HEAP.JSON", "json"),
        ("a.b/heap.md", "markdown"),
        ("heap.html", "html"),
        ("heap.csv", "csv"),
        ("heap.txt", "plain"),
        ("heap.pdf", None),
        ("heap", None),
    ],
)
def test_format_for(path: str, name: str | None) -> None:
    assert heap_format_for(path) == name
