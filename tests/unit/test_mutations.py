"""Recordings, reports and ELF files, damaged at random: each is read, or refused in one sentence.

What is random comes from a seed that a failure names. GDBLEAK_TORTURE multiplies their number.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import time
from copy import deepcopy

import heap_reports
import pytest
import recordings
import reports
from recordings import FREE, MALLOC, MALLOC_RET
from rings import FakeRing, Program, Rig
from support.crew import TORTURE
from support.fuzz import scaled
from test_hostile_files import read_all

from gdbleak.analysis.grouping import BY
from gdbleak.analysis.options import ReportOptions
from gdbleak.elf.image import ElfImage
from gdbleak.errors import GdbleakError
from gdbleak.recording.events import (
    Freed,
    Resident,
    encode_freed,
    encode_resident,
    iter_frames,
)
from gdbleak.recording.frames import END, FOLDED, FRAME, HEAD, HIT, LEVEL, MAGIC, PHASE, SAME
from gdbleak.recording.modules import Module
from gdbleak.recording.phases import Phase
from gdbleak.recording.reader import Recording
from gdbleak.recording.references import Held, encode_holding, encode_reached
from gdbleak.renderers import FORMATS, make_renderer
from gdbleak.renderers.comparison import as_json, as_text
from gdbleak.renderers.heap import HEAP_FORMATS
from gdbleak.renderers.heap import comparison as heap_comparison
from gdbleak.report.comparison import compare
from gdbleak.report.heap_comparison import compare_heaps
from gdbleak.report.heap_reader import read_heap_report
from gdbleak.report.reader import read_report
from gdbleak.target.modules import find_again
from gdbleak.tracing.reporting import make_report

COUNT = scaled(300) if TORTURE == 1 else 1334 * TORTURE
"""Of each kind: `make torture` comes to 100,000."""
MOST_S = 10
"""For one of them."""

ODD = (
    *(None, True, False, -1, 0, 1, 0.5, 255, 1 << 31, 1 << 63, 1 << 64, 1 << 99, 10**400),
    *(-(10**30), 1e308, -1e308, 1e-320, float("nan"), float("inf"), "9" * 500, "x", "0x"),
    *("", "-0x1", "\ud800", [], [[]], {}, {"a": {}}, [None], [1, 2, 3], ["x"], "é" * 3000),
    "2024-05-01T09:00:00+02:00",
)
WORDS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 1 << 31, 1 << 32, 1 << 47, 1 << 63, (1 << 64) - 1)


def change_bytes(chance, data):
    """Return data with some bytes or words changed, or pieces missing, moved, or twice."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        size = chance.choice((1, 2, 4, 8, 100, 4096))
        kind = chance.randrange(7)
        if kind == 0:
            del data[at : at + size]
        elif kind == 1:
            data[at:at] = data[at : at + size]
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            word = struct.pack("<Q", chance.choice(WORDS))
            data[at : at + chance.choice((1, 2, 4, 8))] = word[: chance.choice((1, 2, 4, 8))]
        else:
            data[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(data)


def change_values(chance, values):
    """Return JSON with some of its values replaced, removed or added."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = [*iter_places(values)]
        holder, key = chance.choice(places)
        kind = chance.randrange(8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.append(chance.choice(ODD))
        elif kind == 2:
            other, there = chance.choice(places)
            holder[key] = deepcopy(other[there]) if holder is not other else None
        else:
            same = [odd for odd in ODD if type(odd) is type(holder[key])]
            holder[key] = deepcopy(chance.choice(same if same and kind > 3 else ODD))
    return values


def iter_places(values):
    """Yield each place of a value in a tree: what holds it, and its key or number there."""
    for key in values if isinstance(values, dict) else range(len(values)):
        yield values, key
        if isinstance(values[key], (dict, list)):
            yield from iter_places(values[key])


def encode(kind, values):
    payload = json.dumps(values).encode()
    return FRAME.pack(kind, 0, 0, len(payload)) + payload


@pytest.fixture(scope="module")
def library(build_target, tmp_path_factory):
    """Return a small library with everything in it that is read of one."""
    flags = ("-shared", "-fPIC", "-gz", "-fno-asynchronous-unwind-tables")
    built = build_target("unwind_library.c", *flags, name="libsmall.so")
    return shutil.copy(built, tmp_path_factory.mktemp("library") / "libsmall.so")


@pytest.fixture(scope="module")
def frames(library):
    """Return the frames of a recording that has something of everything."""
    image = ElfImage(str(library))
    module = Module(str(library), 0x10000, 0x20000, 0x10000, image.build_id, None)
    functions = sorted(image.function_starts)
    about = {
        "modules": [module.to_json(), recordings.PROGRAM.to_json()],
        "memory": {"RssAnon": 900_000, "RssFile": 100_000, "Threads": 2},
        "limit": {"limit_bytes": 1 << 30, "used_bytes": 1 << 20, "of": "machine"},
        "tail_s": 1.0,
        "notes": ["a note"],
    }
    rate = {"allocations_per_s": 100.0, "frees_per_s": 50.0, "at_least": False, "reason": ""}
    events = [recordings.opened(1_000_000)]
    for number in range(60):
        time_ns = 1_000_000 + number * 150_000_000
        address = 0xA000 + 64 * number
        caller = 0x10000 + functions[number % len(functions)] + number % 9
        stack = struct.pack("<5Q", caller, 0x10010, recordings.SP + 16, 0x10020, 0)
        events.append(recordings.hit(MALLOC, time_ns, recordings.SP, 16 << number % 5))
        events.append(
            recordings.hit(
                *(MALLOC_RET, time_ns + 1, recordings.SP, address, recordings.SP + 16, 0),
                stack=stack,
            )
        )
        if number % 3 == 0:
            events.append(recordings.hit(FREE, time_ns + 5, recordings.SP, address))
        if number % 20 == 10:
            events.append(recordings.turn(time_ns + 6, Phase.NONE))
            events.append(recordings.turn(time_ns + 100_000_000, Phase.ALL))
        if number % 10 == 5:
            events.append(encode_resident(Resident(time_ns + 7, 1_000_000 + number)))
            events.append(encode_freed(Freed(time_ns + 8, ((0xA000, 1_000_001), (0xBEEF, 5)))))
    alive = [(0xA000 + 64 * n, 1_000_001 + n * 150_000_000) for n in range(60) if n % 3]
    found = [(*block, 1 + n % 4) for n, block in enumerate(alive)]
    held = [Held(*block, 0xA000 + n, 0x10000, 7, n % 3) for n, block in enumerate(alive[:9])]
    events += [encode_reached(time_ns + 9, found), encode_holding(time_ns + 10, held)]
    end = recordings.end(
        memory={"RssAnon": 950_000, "Threads": 3},
        children=1,
        stop_signal=None,
        references={"looks": 3, "took_s": 0.9, "scanned_bytes": 1 << 30, "reason": None},
    )
    return [recordings.head(rate=rate, **about), *events, end]


@pytest.fixture(scope="module")
def whole_calls(tmp_path_factory):
    """Return the frames of a recording that was written inside a target."""
    path = tmp_path_factory.mktemp("whole") / "recording"
    ring = FakeRing(10)
    program = Program(ring, seed=5, addresses=100)
    with Rig(path, ring, flush_ns=10_000_000) as rig:
        for step in range(800):
            program.step()
            if step % 150 == 30:
                rig.reader.poll()
                ring.set_stack(64)
        rig.finish()
    data = path.read_bytes()
    found = [*iter_frames(data, len(MAGIC), len(data))]
    assert {frame[1] for frame in found} == {HEAD, PHASE, HIT, END, SAME, FOLDED, LEVEL}
    return [data[frame[0] : frame[3] + frame[4]] for frame in found]


def mutate_recording(chance, frames):
    frames = list(frames)
    kind = chance.randrange(4)
    if kind == 0:
        return change_bytes(chance, MAGIC + b"".join(frames))
    if kind == 1:  # other events, in another order
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(1, len(frames) - 1)
            frames[at] = change_bytes(chance, frames[at]) if chance.random() < 0.3 else frames[at]
            frames.insert(chance.randrange(1, len(frames)), frames[at])
            if chance.random() < 0.5:
                del frames[chance.randrange(1, len(frames) - 1)]
        return MAGIC + b"".join(frames)
    at = 0 if kind == 2 else -1
    number = FRAME.unpack_from(frames[at])[0]
    frames[at] = encode(number, change_values(chance, json.loads(frames[at][FRAME.size :])))
    return MAGIC + b"".join(frames)


def mutate_json(chance, texts):
    """Return one of some texts of JSON, damaged."""
    text = chance.choice(texts)
    if chance.random() < 0.2:
        return change_bytes(chance, text.encode()).decode(errors="replace")
    return json.dumps(change_values(chance, json.loads(text)))


def show(report, other, chance):
    """Render a report in every format, and compare it with another."""
    for name in FORMATS:
        made = make_renderer(name, top=10, width=chance.choice((None, 80)), color=False)
        text = made.render(report)
        if name == "json":
            assert read_report(str(text), "it")
    for comparison in (compare(report, other), compare(other, report)):
        as_text(comparison, 10, 100)
        as_json(comparison)


def refuses(kind, seed, attempt):
    """Return whether what has such a seed is refused, rather than read."""
    began_s = time.process_time()
    try:
        attempt(random.Random(f"{kind} {seed}"))
    except GdbleakError as error:
        said = str(error)
    except Exception as error:
        raise AssertionError(f"{kind}, seed {seed}") from error
    else:
        said = ""
    assert time.process_time() - began_s < MOST_S, f"{kind}, seed {seed}"
    assert len(said) < 2000, f"{kind}, seed {seed}: {said}"
    return bool(said)


def torture(kind, attempt):
    """Attempt it with one seed after the other; only a refusal may come of it."""
    refused = sum(refuses(kind, seed, attempt) for seed in range(COUNT))
    assert 0 < refused < COUNT


@pytest.mark.parametrize("kind", ["frames", "whole_calls"])
def test_recordings(kind, request, tmp_path):
    frames = request.getfixturevalue(kind)
    path = tmp_path / "recording"

    def load(by, older_ms):
        options = ReportOptions(older_ms=older_ms, by=by, listed_blocks=2)
        return make_report(Recording(str(path)), find_again, options, None)

    path.write_bytes(MAGIC + b"".join(frames))
    sound = load("stack", 0)
    assert len(sound.sites) > 3
    assert sound.window.complete

    def attempt(chance):
        path.write_bytes(mutate_recording(chance, frames))
        show(load(chance.choice(BY), chance.choice((0, 500))), sound, chance)

    torture(f"recording {kind}", attempt)


def test_reports():
    renderer = make_renderer("json", top=1, width=None, color=False)
    texts = [str(renderer.render(sample)) for sample in SAMPLES]
    sound = read_report(texts[0], "sound")

    def attempt(chance):
        show(read_report(mutate_json(chance, texts), "report"), sound, chance)

    torture("report", attempt)


def test_reports_of_heaps():
    texts = [HEAP_FORMATS["json"].render(each, 1, None) for each in heap_reports.SAMPLES.values()]
    sound = read_heap_report(texts[0], "sound")

    def attempt(chance):
        show_heap(read_heap_report(mutate_json(chance, texts), "heap"), sound, chance)

    torture("heap", attempt)


def show_heap(report, other, chance):
    """Render a heap in every format, and compare it with another."""
    for name, form in HEAP_FORMATS.items():
        text = form.render(report, 10, chance.choice((None, 80)))
        assert text.encode()
        if name == "json":
            assert read_heap_report(text, "it") == report
    for comparison in (compare_heaps(report, other), compare_heaps(other, report)):
        heap_comparison.as_text(comparison, 10, 100)
        heap_comparison.as_json(comparison)


SAMPLES = tuple(reports.SAMPLES.values())


def test_elf_files(library, tmp_path):
    contents = library.read_bytes()
    path = tmp_path / "file"
    damaged = 0

    def attempt(chance):
        nonlocal damaged
        changed = bytearray(contents)
        # Headers, tables and the ends of sections are where damage tells.
        for _ in range(chance.randint(1, 5)):
            at = chance.choice((chance.randrange(0x400), chance.randrange(len(changed))))
            at = chance.choice((at, len(changed) - 1 - at % (64 * 40)))
            word = struct.pack("<Q", chance.choice((*WORDS, chance.randrange(1 << 16))))
            changed[at : at + 8] = word[: chance.choice((1, 2, 4, 8))].ljust(0)
        path.write_bytes(bytes(changed) if chance.random() < 0.9 else change_bytes(chance, changed))
        if chance.random() < 0.002:
            os.truncate(path, 1 << 40)
        read_all(path)

    torture("ELF file", attempt)
