"""A JSON report of an earlier version, turned into one of today. Pure.

In `gdbleak.report/1`, the fields of a call stack held what was recorded, and `estimate` what that
stood for; today they hold the latter, and `recorded` the former.
"""

from __future__ import annotations

from typing import Any

EARLIER = "gdbleak.report/1"

_RECORDED = (
    "outstanding_bytes",
    "outstanding_count",
    "allocated_bytes",
    "allocated_count",
    "freed_count",
)
_SCALED = ("allocated_bytes", "allocated_count", "freed_count")
"""What had no estimate."""


def upgrade(values: dict[str, Any]) -> dict[str, Any]:
    """Return what a report of `EARLIER` says, as one of today says it.

    Args:
        values: The object that the file holds; it is not changed.

    Raises:
        ArithmeticError, AttributeError, LookupError, TypeError, ValueError: it is damaged.

    """
    window = values["window"]
    sampling, inline = window.get("sampling"), window.get("inline")
    scale = sampling["scale"] if sampling else inline["one_of"] if inline else 1
    sites = [_upgrade_site(site, scale) for site in values["sites"]]
    memory = values["memory"]
    if sampling:  # it had been fitted to the growth that it was said to explain
        memory = {**memory, "explained_bytes": None}
    return {**values, "memory": memory, "sites": sites}


def _upgrade_site(site: dict[str, Any], scale: float) -> dict[str, Any]:
    estimate = site.get("estimate")
    if estimate is None:
        return site
    return {
        **site,
        **{name: round(site[name] * scale) for name in _SCALED},
        "history": [round(size * scale) for size in site.get("history", ())],
        **estimate,
        "recorded": {name: site[name] for name in _RECORDED},
    }
