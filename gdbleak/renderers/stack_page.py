"""A call stack as HTML: a click opens the frames that lie inside of libraries."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from gdbleak.renderers.internals import find_runs
from gdbleak.renderers.stacks import name
from gdbleak.report.model import Frame, Site
from gdbleak.text.lines import cut, printable

LONGEST = 500
"""How many characters of a name a page holds."""
DEEPEST = 200
"""How many frames of a stack it shows."""


def draw_stack(site: Site, internals: bool) -> str:
    """Return the list of the frames of a site.

    Args:
        site: Of a report.
        internals: Whether frames inside of libraries are open from the start.

    """
    more = len(site.frames) - DEEPEST
    items = "".join(_items(site, " open" if internals else ""))
    return f'<ol start="0">{items}</ol>' + (f"<p>{more:,} more</p>" if more > 0 else "")


def short_name(frame: Frame) -> str:
    """Return the name of a frame, not too long for a page."""
    return cut(name(frame), LONGEST)


def _items(site: Site, state: str) -> Iterator[str]:
    frames = site.frames[:DEEPEST]
    shown = 0
    for run in find_runs(frames, site.caller):
        yield from map(_item, range(shown, run.start), frames[shown : run.start])
        inner = "".join(map(_item, range(run.start, run.end), frames[run.start : run.end]))
        yield (
            f'<li class="run"><details{state}><summary>{escape(run.text)}</summary>'
            f"<ol>{inner}</ol></details></li>"
        )
        shown = run.end
    yield from map(_item, range(shown, len(frames)), frames[shown:])


def _item(number: int, frame: Frame) -> str:
    place = f"{frame.file}:{frame.line}" if frame.file and frame.line else frame.file or ""
    place += f" ({frame.module})" if frame.module else ""
    place += " (inlined)" if frame.inlined else ""
    place = escape(printable(cut(place, LONGEST)))
    text = f'{escape(short_name(frame))} <span class="place">{place}</span>'
    return f'<li value="{number}">{text}</li>'
