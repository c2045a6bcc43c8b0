"""The recorder that chooses blocks by their sizes, in a program that knows what it did.

As in test_inline_recorder.py, no debugger takes part.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from support.probed import Event, Probed

from gdbleak.heap.chunk import FLAGS
from gdbleak.plan.sizes import parse_sizes

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the recorder is written for x86-64"
)
SIZES = "100-300"
GONE = Event("return", 0, 0, 0)
"""The end of a resize to a size that is not recorded."""


@pytest.fixture
def start(build_target, start_target) -> Iterator[Callable[..., Probed]]:
    """Return a function that starts the program, with a recorder of blocks of some sizes."""
    probes = []

    def start(sizes: str = SIZES, **options: bool) -> Probed:
        target = start_target(build_target("inline_probe.c", "-fno-builtin"))
        probes.append(Probed(target, sizes=sizes, **options))
        probes[-1].start()
        return probes[-1]

    yield start
    for probed in probes:
        probed.restore()
        probed.close()


def chosen_by_chunk(log):
    """Return the events of blocks whose chunks are of the sizes, of all that the program did."""
    least, most = parse_sizes(SIZES).chunks
    was_kept = False
    for event, usable, was_resized in log:
        is_kept = least - 8 <= usable <= most - 8
        if is_kept or (was_resized and was_kept and not event.address):
            yield event
        elif was_resized and was_kept:
            yield GONE
        was_kept = is_kept


def chosen_by_request(log):
    """Return the events of blocks that were requested with these sizes, and all frees."""
    least, most = parse_sizes(SIZES).requests
    for event, _, _ in log:
        is_kept = least <= event.size * event.factor % (1 << 64) <= most
        if event.role == "entry" or is_kept or (event.role == "return" and not event.address):
            yield event
        elif event.role == "return":
            yield GONE


def plain(recorded):
    """Return events as the program tells them: it does not tell what stands before a block."""
    return [
        each.event._replace(size=0, factor=0) if each.event.role == "entry" else each.event
        for each in recorded
    ]


def test_blocks_of_chosen_chunks(start):
    probed = start(sized=True)
    least, most = parse_sizes(SIZES).chunks
    seen = Counter()
    for seed in range(10):
        probed.tell(f"mix {seed} 1500")
        recorded = probed.read_events()
        _, log = probed.read_sizes()
        assert plain(recorded) == [*chosen_by_chunk(log)]
        assert len(recorded) < 0.6 * len(log)
        for each in recorded:
            if each.event.role == "entry":
                assert least <= each.event.size & ~FLAGS <= most
        seen.update((each.function, each.event == GONE) for each in recorded)
    functions = {function for function, _ in seen}
    expected = {"malloc", "calloc", "realloc", "reallocarray", "posix_memalign", "free"}
    assert functions >= expected
    assert seen["realloc", True] > 10
    assert seen["reallocarray", True] > 10


@pytest.mark.parametrize("by_pad", [False, True], ids=["calls", "pad"])
def test_chosen_requests(start, by_pad):
    probed = start(by_pad=by_pad)
    for seed in range(5):
        probed.tell(f"mix {seed} 1500")
        recorded = probed.read_events()
        _, log = probed.read_sizes()
        assert plain(recorded) == [*chosen_by_request(log)]


def test_many_threads(start):
    probed = start(sized=True)
    probed.switch(False)
    probed.tell("threads 4")
    probed.switch(True)
    probed.tell("crowd 1 0")
    probed.read_events()
    threads = [probed.read_sizes(number)[0] for number in range(1, 5)]
    for _ in range(3):
        probed.tell("crowd 1000 0")
        recorded = probed.read_events()
        for number, thread in enumerate(threads, 1):
            own = [each for each in recorded if each.thread == thread]
            assert plain(own) == [*chosen_by_chunk(probed.read_sizes(number)[1])]


@pytest.mark.parametrize(("sizes", "chosen"), [("48", True), ("64k", False)])
def test_a_signal_handler_that_allocates_at_every_instruction(start, sizes, chosen):
    """It takes blocks of 48 bytes, and compares registers afterwards."""
    probed = start(sizes=sizes, sized=True)
    steps = int(probed.target.ask("step 0"))
    counts = Counter(each.event.role for each in probed.read_events())
    assert steps > 100
    assert probed.dropped == [0] * 16
    least = steps * chosen
    assert least <= counts["entry"] <= least + 5 * chosen
    assert least <= counts["call"] <= least + 5 * chosen
