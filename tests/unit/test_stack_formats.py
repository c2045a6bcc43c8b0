"""What is written for tools that draw stacks, read again by these tools where they are there."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess

import pytest
from reports import SAMPLES, report, site

from gdbleak.renderers import FORMATS, format_for, make_renderer
from gdbleak.renderers.protobuf import varint
from gdbleak.report.model import Frame, Recorded

MAIN, PARSE = Frame(0x1010, "/srv/app", 0x10, "main", "app.c", 9), Frame(0x1020, "/srv/app", 0x20)
INLINED = Frame(0x1030, "/srv/app", 0x30, "copy;all", "copy.h", 3, inlined=True)
OUTER = Frame(0x1030, "/srv/app", 0x30, "load", "load.c", 5)
TWO = report(
    site(1, (INLINED, OUTER, MAIN), outstanding_bytes=300, allocated_bytes=500, allocated_count=5),
    site(2, (PARSE, MAIN), outstanding_bytes=0, outstanding_count=0, allocated_bytes=70),
    site(3, (), outstanding_bytes=8, outstanding_count=1, kind="mapping", truncated=True),
)


def render(form, made):
    return make_renderer(form, top=10, width=None, color=False).render(made)


def test_folded():
    assert render("folded", TWO) == "main;load;copy,all 300\n(unknown);[mapping] 8\n"


def test_folded_takes_estimates():
    estimated = site(1, (MAIN,), outstanding_bytes=9000, recorded=Recorded(90, 1, 90, 1, 0))
    assert render("folded", report(estimated)) == "main 9000\n"


@pytest.mark.parametrize("name", SAMPLES)
def test_folded_has_a_line_for_each(name):
    made = SAMPLES[name]
    lines = render("folded", made).splitlines()
    assert len(lines) == len([s for s in made.sites if s.outstanding_bytes])
    assert all(line.rpartition(" ")[2].isdecimal() for line in lines)


@pytest.mark.parametrize("name", SAMPLES)
def test_speedscope(name):
    made = json.loads(render("speedscope", SAMPLES[name]))
    assert made["$schema"].endswith("/file-format-schema.json")
    frames = made["shared"]["frames"]
    for profile in made["profiles"]:
        assert (profile["type"], profile["unit"], profile["startValue"]) == ("sampled", "bytes", 0)
        assert len(profile["samples"]) == len(profile["weights"])
        assert profile["endValue"] == sum(profile["weights"])
        assert all(0 <= n < len(frames) for stack in profile["samples"] for n in stack)


def test_speedscope_frames():
    made = json.loads(render("speedscope", TWO))
    names = [frame["name"] for frame in made["shared"]["frames"]]
    outstanding, allocated = made["profiles"]
    assert [[names[n] for n in stack] for stack in outstanding["samples"]] == [
        ["main", "load", "copy;all"],
        ["(unknown)", "[mapping]"],
    ]
    assert (outstanding["weights"], allocated["weights"][:2]) == ([300, 8], [500, 70])
    assert made["shared"]["frames"][0] == {"name": "main", "file": "app.c", "line": 9}


@pytest.mark.parametrize(
    ("number", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (1 << 63, "80" * 9 + "01")]
)
def test_varint(number, encoded):
    assert varint(number).hex() == encoded


def test_pprof_is_the_same_every_time():
    assert render("pprof", TWO) == render("pprof", TWO)
    assert gzip.decompress(render("pprof", TWO))


@pytest.mark.skipif(not shutil.which("go"), reason="there is no go, whose pprof reads it")
@pytest.mark.parametrize("name", SAMPLES)
def test_pprof_reads_it(name, tmp_path):
    path = tmp_path / "report.pb.gz"
    path.write_bytes(render("pprof", SAMPLES[name]))
    raw = subprocess.run(
        ["go", "tool", "pprof", "-raw", path], capture_output=True, text=True, check=True
    )
    assert "inuse_objects/count" in raw.stdout
    [samples] = [part for part in raw.stdout.split("\n") if part.startswith("Samples:")]
    assert samples


@pytest.mark.skipif(not shutil.which("go"), reason="there is no go, whose pprof reads it")
def test_pprof_shows_what_is_in_use(tmp_path):
    path = tmp_path / "report.pb.gz"
    path.write_bytes(render("pprof", TWO))
    command = ["go", "tool", "pprof", "-traces", "-unit=B", path]
    traces = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in traces.splitlines()]
    assert ["300B", "copy;all", "(inline)"] in lines
    assert ["load"] in lines
    assert ["8B", "[mapping]"] in lines
    assert "Type: inuse_space" in traces


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("a.html", "html"),
        ("a.speedscope.json", "speedscope"),
        ("a.json", "json"),
        ("a.PB.GZ", "pprof"),
        ("a.folded", "folded"),
        ("a.gz", None),
    ],
)
def test_suffix(path, form):
    assert format_for(path) == form
    assert form is None or form in FORMATS
