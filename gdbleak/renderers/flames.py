"""The data of the flame graph of a page: stacks, and which of their frames are internals."""

from __future__ import annotations

import json
from collections.abc import Iterator

from gdbleak.renderers.internals import find_runs
from gdbleak.renderers.stack_page import DEEPEST, short_name
from gdbleak.renderers.stacks import iter_stacks
from gdbleak.report.model import Report, Site


def describe_flames(report: Report, most: int) -> str:
    """Return the first stacks of a report as JSON that cannot end its HTML element.

    It has `frames`, the names of frames, and `stacks`, each with its `frames` as places among the
    names, the outermost first; with its `runs`, of which each is where it begins, where it ends,
    and the place of the name to show instead; and with its bytes, `outstanding` and `allocated`.
    """
    numbers: dict[str, int] = {}

    def place(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    stacks: list[dict[str, object]] = []
    for site, (frames, weights) in zip(report.sites[:most], iter_stacks(report)):
        shown = frames[-DEEPEST:]
        runs = _runs(site, len(frames), len(frames) - len(shown))
        stacks.append(
            {
                "frames": [place(short_name(frame)) for frame in shown],
                "runs": [[start, end, place(name)] for start, end, name in runs],
                "outstanding": weights.outstanding_bytes,
                "allocated": weights.allocated_bytes,
            }
        )
    text = json.dumps({"frames": list(numbers), "stacks": stacks})
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _runs(site: Site, length: int, cut_off: int) -> Iterator[tuple[int, int, str]]:
    """Yield where runs begin and end, and what to call them; the outermost first.

    Args:
        site: Whose frames have the innermost first.
        length: How many frames its stack has that was made of these, the outermost first.
        cut_off: How many outermost ones of that are left out.

    """
    # A frame that names the kind of memory follows the innermost one.
    innermost = length - 1 - (site.kind != "heap") - cut_off
    for run in reversed(find_runs(site.frames, site.caller)):
        start, end = innermost - (run.end - 1), innermost - run.start + 1
        if end > 0:
            yield max(start, 0), end, f"[{run.libraries}]"
