"""Real windows that were recorded whole, counted again from one block in so many."""

from __future__ import annotations

import random

import pytest
from support.libraries import LIBRARIES, find_library

import gdbleak
from gdbleak.analysis.options import ReportOptions
from gdbleak.analysis.passes import analyse
from gdbleak.recording.choice import draw_lot
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.reader import Recording
from gdbleak.verdicts.intervals import add_up, bound_total

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")

PAGE = 4096
LIVE, WORK, RARELY = "100", "60000", "5"
LEVELS = (1, 2, 3, 4, 5)


@pytest.fixture(params=["glibc", "jemalloc"])
def recorded(request, build_target, start_target, tmp_path):
    """Return the recording of a busy process, all of it."""
    program = build_target("twenty_sites.c", "-pthread")
    preload = [] if request.param == "glibc" else [find_library(LIBRARIES[request.param])]
    environment = ["env", *(f"LD_PRELOAD={library}" for library in preload)]
    target = start_target(*environment, program, LIVE, WORK, RARELY)
    path = tmp_path / "it.gdbleak"
    # So many events show a hundred blocks of a site, however slow the host is.
    report = gdbleak.trace(
        target.pid, 60.0, probe="inline", save=path, references=False, max_events=40_000
    )
    assert report.window.ended_by == "max-events"
    return path


def test_intervals(recorded):
    assert_intervals_hold(recorded)
    assert_they_hold_wherever_the_heap_is(recorded)


def assert_intervals_hold(recorded):
    def load(zeros):
        with Recording(str(recorded)) as recording:
            assert recording.zeros == 0, "the reader kept up"
            recording.zeros = zeros
            options = ReportOptions(older_ms=0, listed_blocks=1 << 30)
            report = analyse(
                recording, ModuleMap([]), options, lambda addresses: dict.fromkeys(addresses, ())
            )
        return {frozenset(block.address for block in site.blocks): site for site in report.leaking}

    whole = load(0)
    owner = {address: site for addresses, site in whole.items() for address in addresses}
    inside = outside = 0
    for zeros in LEVELS:
        for addresses, site in load(zeros).items():
            truth = owner[next(iter(addresses))]
            assert all(not draw_lot(address) & (1 << zeros) - 1 for address in addresses)
            assert site.recorded.outstanding_count == len(addresses)
            assert site.outstanding_count == len(addresses) << zeros
            is_in = (
                site.outstanding_bytes_low <= truth.outstanding_bytes <= site.outstanding_bytes_high
            )
            inside, outside = inside + is_in, outside + (not is_in)
    # Of a hundred or so, all but five are expected to be: each heap lies elsewhere.
    assert inside > 50
    assert inside > 4 * outside


def assert_they_hold_wherever_the_heap_is(recorded):
    """The same blocks, as if the kernel had put them elsewhere."""
    with Recording(str(recorded)) as recording:
        options = ReportOptions(older_ms=0, listed_blocks=1 << 30)
        report = analyse(
            recording, ModuleMap([]), options, lambda addresses: dict.fromkeys(addresses, ())
        )
    chance = random.Random(1)
    largest = max(report.leaking, key=lambda site: site.outstanding_count)
    blocks = [(block.address, block.size) for block in largest.blocks][:2000]
    assert len(blocks) >= 100
    truth = sum(size for _, size in blocks)
    for zeros in LEVELS[:3]:
        mask, covered, total = (1 << zeros) - 1, 0, 0.0
        for _ in range(500):
            moved = chance.randrange(1 << 24) * PAGE
            seen = add_up(size for address, size in blocks if not draw_lot(address + moved) & mask)
            low, high = bound_total(seen, 0.5**zeros, 64.0)
            covered += low <= truth <= high
            total += seen.total * (1 << zeros)
        # A share of 500 that is 95 % is hardly ever below 91.5 or above 98.
        assert 0.915 * 500 <= covered <= 0.985 * 500
        assert total / 500 == pytest.approx(truth, rel=0.05)
