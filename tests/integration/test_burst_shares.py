"""Bursts see the end of a request as often as its beginning."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest

import gdbleak
from gdbleak.ledger.replay import Replay
from gdbleak.recording.reader import Recording

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace", "state")]

LINES = 12
SIZES = [40 + 16 * number for number in range(LINES)]
RATE = 5000
SIGMAS = 4
"""Requests are recorded whole but for a few, so chance does less than to single calls: at most one
sigma was measured. In bursts that begin to count at once it was 16."""


def count_blocks(path):
    """Return how many blocks of each size were recorded as new."""
    counts: Counter[int] = Counter()
    with Recording(str(path)) as recording:
        head = recording.head
        replay = Replay(
            *(head.probes, head.functions, lambda _: None),
            admit=lambda block: counts.update([block.size]),
        )
        for event in recording.iter_events():
            replay.feed(event)
    return counts


@pytest.mark.parametrize("leaking", ["first", "last"])
def test_each_line_of_a_request_is_recorded_as_often(build_target, start_target, tmp_path, leaking):
    """Its threads wait for requests when a burst begins."""
    server = start_target(build_target("requests.c"), "4", str(RATE), leaking)
    server.ask("")
    path = tmp_path / "recording"
    report = gdbleak.trace(
        server.pid, 20, probe="breakpoint", save=path, max_memory=1 << 40, max_pause_ms=10_000
    )
    served = server.ask("").split()[0]
    assert report.window.sampling
    assert int(served) > RATE
    counts = count_blocks(path)
    total = sum(counts[size] for size in SIZES)
    assert total > 500
    sigma = sqrt(total / LINES * (1 - 1 / LINES))
    off = [(counts[size] - total / LINES) / sigma for size in SIZES]
    assert max(map(abs, off)) < SIGMAS, off
