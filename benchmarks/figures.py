"""From runs to the cells of a table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from runs import Run

HEADS = (
    "",
    "us a pair",
    "pairs/s",
    "raw stops",
    "longest pause ms",
    "attach ms",
    "tool CPU s/s",
    "tool MB",
)
SERVICE_HEADS = ("p50 ms", "p99 ms", "p99 : untraced")


def spread(values: Sequence[float]) -> str:
    """Return the median, and the range that holds nine tenths of the values."""
    ordered = sorted(values)
    if len(ordered) == 1:
        return short(ordered[0])
    cut = len(ordered) // 20
    low, high = ordered[cut], ordered[len(ordered) - 1 - cut]
    return f"{short(statistics.median(ordered))} ({short(low)}..{short(high)})"


def ratio(values: Sequence[float], plain: Sequence[float]) -> str:
    """Return how the median compares to that without a tool."""
    if not values or not plain:
        return ""
    return short(statistics.median(values) / statistics.median(plain))


def short(value: float) -> str:
    """Return a number with three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def pair_us(runs: Sequence[Run]) -> float:
    """Return the median cost of a pair."""
    return statistics.median(line.pair_us for run in runs for line in run.steady)


def raw_stop_us(raw: Sequence[Run]) -> float | None:
    """Return what one raw stop costs; a pair is two."""
    return pair_us(raw) / 2 if raw else None


def row(
    name: str, runs: Sequence[Run], raw_us: float | None, untraced: Sequence[Run] = ()
) -> tuple[str, ...]:
    """Return a row under HEADS, and under SERVICE_HEADS where there are latencies."""
    lines = [line for run in runs for line in run.steady]
    attaches = [run.attach_ms for run in runs if run.attach_ms is not None]
    cpus = [run.cpu for run in runs if run.cpu is not None]
    peaks = [run.peak_bytes for run in runs if run.peak_bytes is not None]
    cells = [
        name,
        spread([line.pair_us for line in lines]),
        short(1e6 / pair_us(runs)),
        short(pair_us(runs) / raw_us) if raw_us else "",
        short(max(run.longest_ms for run in runs)),
        spread(attaches) if attaches else "",
        short(statistics.median(cpus)) if cpus else "",
        short(max(peaks) / 1e6) if peaks else "",
    ]
    medians, p99s = _medians(runs), _p99s(runs)
    if medians:
        cells += [spread(medians), spread(p99s), ratio(p99s, _p99s(untraced))]
    return tuple(cells)


def _medians(runs: Sequence[Run]) -> list[float]:
    """Return the median latencies in milliseconds."""
    found = [line.median_us for run in runs for line in run.steady]
    return [value / 1e3 for value in found if value is not None]


def _p99s(runs: Sequence[Run]) -> list[float]:
    """Return the 99th percentiles of the latencies in milliseconds."""
    found = [line.p99_us for run in runs for line in run.steady]
    return [value / 1e3 for value in found if value is not None]
