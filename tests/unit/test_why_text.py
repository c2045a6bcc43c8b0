"""What `gdbleak why` shows of an answer made by hand, and which addresses it takes."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import pytest

from gdbleak.commands.why import parse_address
from gdbleak.renderers.ways import as_json, as_text
from gdbleak.report.variables import Variable
from gdbleak.report.ways import Answer, Holder, Way

VARIABLE = Holder(0x4040, "sessions+0x8", "server.c:88", "server")
ANSWER = Answer(
    pid=4711,
    command="/srv/server",
    address=0x7F00_0010,
    block=0x7F00_0000,
    block_bytes=120,
    is_known=True,
    ways=(Way((Holder(0x7F10_0010, block=0x7F10_0000, block_bytes=48), VARIABLE)),),
    roots=1,
    blocks=1,
    scanned_bytes=3 << 20,
    took_s=0.25,
)


def nodes(count):
    return tuple(Holder(at, block=at, block_bytes=24) for at in range(64, 64 + 32 * count, 32))


def test_a_line_for_each_step():
    assert as_text(ANSWER, None) == (
        "0x7f000000: 120 bytes in use, and 0x7f000010 is 16 bytes into it\n"
        "  is held by 0x7f100000+16: block of 48 bytes\n"
        "  is held by sessions+0x8 (server, server.c:88)\n"
        "\n"
        "3.0 MiB were searched in 250 ms; nothing was stopped.\n"
    )


@pytest.mark.parametrize(
    ("root", "line"),
    [
        (
            Holder(1, "thread 7's stack", "worker (pool.c:31)"),
            "thread 7's stack in worker (pool.c:31)",
        ),
        (Holder(1, "thread 7's stack"), "thread 7's stack"),
        (Holder(0, "a register of thread 7"), "a register of thread 7"),
        (Holder(1, "libz.so.1+0x1234", None, "libz.so.1"), "libz.so.1+0x1234 (libz.so.1)"),
        (Holder(1, "evil\x1b[2J", "a\nb.c:1", "m"), r"evil\x1b[2J (m, a\nb.c:1)"),
    ],
)
def test_roots(root, line):
    assert f"  is held by {line}\n" in as_text(replace(ANSWER, ways=(Way((root,)),)), None)


def test_long_lists_are_not_written_out():
    text = as_text(replace(ANSWER, ways=(Way((*nodes(10_000), VARIABLE)),)), None)
    assert "  and so on, through 9,998 more such blocks, each held by the next\n" in text
    assert len(text.splitlines()) < 10
    assert "and so on" not in as_text(replace(ANSWER, ways=(Way((*nodes(3), VARIABLE)),)), None)


def test_nothing_refers_to_it():
    text = as_text(replace(ANSWER, ways=(), roots=0, blocks=0), None)
    assert "Nothing refers to it, as far as memory tells" in text
    text = as_text(replace(ANSWER, ways=(), roots=0, blocks=2), None)
    assert "No root was found: 2 blocks lead to it, and nothing else refers to these.\n" in text
    text = as_text(replace(ANSWER, ways=(), roots=0, blocks=2, ended="the time is up"), None)
    assert "No root was found so far; 2 blocks lead to it.\n" in text
    assert "It ended early: the time is up.\n" in text


def test_blocks_of_unknown_bounds():
    way = Way((Holder(0x110, block=0x100), VARIABLE))
    text = as_text(replace(ANSWER, ways=(way,), is_known=False), None)
    assert "0x7f000010: a block whose bounds are unknown\n" in text
    assert "  is held by 0x100+16: anonymous memory\n" in text
    assert "No bounds of blocks could be told" in text


def test_notes_and_more_roots():
    text = as_text(replace(ANSWER, roots=30, notes=("1 thread runs.",)), None)
    assert "30 roots found, 1 shown.\n1 thread runs.\n" in text


def test_it_fits():
    text = as_text(replace(ANSWER, ways=(), roots=0, blocks=0), 80)
    assert max(map(len, text.splitlines())) <= 80


def test_json_has_all_of_it():
    made = json.loads(as_json(ANSWER))
    assert made["schema"] == "gdbleak.why/1"
    assert made["ways"][0]["holders"][1] == {
        "address": 0x4040,
        "root": "sessions+0x8",
        "place": "server.c:88",
        "module": "server",
        "block": None,
        "block_bytes": None,
    }


@pytest.mark.parametrize(
    ("variable", "text", "place"),
    [
        (Variable("m", "sessions"), "sessions", None),
        (Variable("m", "sessions", 8, "/src/server.c", 88), "sessions+0x8", "server.c:88"),
        (Variable("m", "last", 0, "pool.c"), "last", "pool.c"),
        (Variable("libz.so", None, 0x10), "libz.so+0x10", None),
    ],
)
def test_variables(variable, text, place):
    assert (variable.text, variable.place) == (text, place)


@pytest.mark.parametrize(
    ("text", "value"), [("0x1F", 31), ("1f", 31), ("31", 31), ("0X7f0000000000", 0x7F0000000000)]
)
def test_addresses(text, value):
    assert parse_address(text) == value


@pytest.mark.parametrize("text", ["", "0x", "0", "-1", "block", f"{1 << 47:#x}", "1.5", "0x1 2"])
def test_what_is_no_address(text):
    with pytest.raises(argparse.ArgumentTypeError, match="not an address"):
        parse_address(text)
