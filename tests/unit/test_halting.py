"""How long an attach is estimated to halt a process, and when it is refused for that."""

from __future__ import annotations

import pytest

from gdbleak.bounds import bounds_of
from gdbleak.capture.limits import Limits
from gdbleak.errors import ProcessUnusableError
from gdbleak.preflight.halting import check_halt, describe_halt, estimate_halt_s, find_sufficient_ms


@pytest.mark.parametrize(
    ("threads", "least_s", "most_s"),
    [
        # Medians of what was measured for GDB 10.1 to 18.1 on a host that was busy at times.
        (64, 0.006, 0.009),
        (500, 0.062, 0.19),
        (1000, 0.14, 0.5),
        (2000, 0.4, 1.6),
        (4000, 1.4, 4.8),
        (8000, 8.0, 10.7),
    ],
)
def test_estimate_is_near_to_what_was_measured(threads, least_s, most_s):
    estimate_s = estimate_halt_s(threads)
    assert least_s / 2 < estimate_s < most_s * 2
    assert find_sufficient_ms(threads) >= most_s * 1e3


@pytest.mark.parametrize("threads", [1, 64, 500, 1500])
def test_few_threads_pass(threads):
    check_halt(7, threads, Limits.max_pause_ms)


@pytest.mark.parametrize("threads", [1600, 2000, 8000, 32000])
def test_many_threads_take_a_larger_option(threads):
    with pytest.raises(ProcessUnusableError) as caught:
        check_halt(7, threads, Limits.max_pause_ms)
    assert describe_halt(threads) in str(caught.value)
    option, _, value = caught.value.help_text.rpartition(" ")
    assert option.endswith("--max-pause")
    assert float(value) in bounds_of(Limits, "max_pause_ms")
    check_halt(7, threads, float(value))


def test_words():
    assert describe_halt(1) == "attaching would halt it for about 1.1 ms"
    assert describe_halt(2000) == "attaching would halt its 2,000 threads for about 800 ms"
