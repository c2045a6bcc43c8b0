"""What `gdbleak suspects` shows of a lineup made by hand."""

from __future__ import annotations

import json

import pytest

from gdbleak.recording.memory_limit import MemoryLimit
from gdbleak.renderers.lineup import as_json, as_text
from gdbleak.report.lineup import Lineup, Suspect
from gdbleak.report.runtimes import RUNTIMES
from gdbleak.report.trend import Trend
from gdbleak.survey.search import _judge_kernel

MIB = 1 << 20


def suspect(pid, slope, steadiness=0.98, **changes):
    values = {
        "command": f"/srv/server --number {pid}",
        "age_s": 3 * 86400.0,
        "private_bytes": 300 * MIB,
        "history": tuple(range(100 * MIB, 300 * MIB, 10 * MIB)),
        "runtime": None,
        "limit": MemoryLimit(512 * MIB, 256 * MIB, "control group"),
    }
    return Suspect(pid=pid, trend=Trend(slope, steadiness), **{**values, **changes})


LINEUP = Lineup(
    (
        suspect(4711, MIB, container="3f2a1b0c9d8e"),
        suspect(4712, 1024.0, runtime=RUNTIMES[0], command="java -jar \x1b[2J" + "x" * 200),
        suspect(4713, 2048.0, steadiness=0.3),
    ),
    looks=31,
    processes=120,
    unreadable=2,
    ended=5,
    kernel=("the kernel's own memory grows: slab",),
)


@pytest.mark.parametrize("width", [80, 160])
def test_it_fits(width):
    text = as_text(LINEUP, 10, width, ascii_only=False)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text


def test_what_it_says():
    text = as_text(LINEUP, 10, None, ascii_only=True)
    assert text.isascii()
    assert "#1 reaches the 512 MiB of its control group in about 256 s, at this rate" in text
    assert "#1 runs in the container 3f2a1b0c9d8e\n" in text
    assert "#2 is Java: gdbleak sees native memory only" in text
    assert "#3" not in text.partition("Command")[2]
    assert "the kernel's own memory grows" in text
    assert "120 processes were looked at 31 times, none was attached to; 5 came or went" in text
    assert text.endswith("Next: gdbleak trace 4711\n")


def test_more_than_are_shown():
    assert "2 more grow: see --top 3\n" in as_text(LINEUP, 1, 80, ascii_only=True)


def test_nobody_grows():
    text = as_text(Lineup((), 31, 120, 0, 0), 10, 80, ascii_only=True)
    assert text.startswith("No process grows steadily. A slow leak needs longer")
    assert "Next" not in text


def test_json():
    made = json.loads(as_json(LINEUP))
    first, second, third = made["suspects"]
    assert (first["pid"], first["bytes_per_s"], first["grows"]) == (4711, MIB, True)
    assert (first["reached_in_s"], third["grows"], third["reached_in_s"]) == (256.0, False, None)
    assert (first["runtime"], second["runtime"]) == (None, "Java")
    assert made["schema"] == "gdbleak.suspects/1"


def test_kernel_that_grows_faster_than_all_processes():
    looks = [(float(n), {"SUnreclaim": n * MIB, "PageTables": 5}) for n in range(10)]
    [sentence] = _judge_kernel(looks, processes_per_s=1000.0)
    assert "slabtop" in sentence
    assert _judge_kernel(looks, processes_per_s=2.0 * MIB) == ()
