"""Frames and callers as people name them, shortened and escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from posixpath import basename

from gdbleak.report.model import Frame, Site
from gdbleak.text.lines import cut, printable
from gdbleak.text.names import qualified, shorten

NAME_LIMIT = 200
"""How many characters of a name are shown; the middle of a longer one is cut out."""
_FUNCTION_IN_CELL = 60
"""How many characters the name of a function may have before its arguments are left out."""


def describe(frame: Frame, gap: str = " ", show: Callable[[str], str] = printable) -> str:
    """Return `function file:line (module)`, or `module+offset` without a symbol.

    `gap` stands behind the function; `show` makes the names safe to show.
    """
    module = show(basename(frame.module or ""))
    if not frame.function:
        has_offset = module and frame.offset is not None
        return f"{module}+{frame.offset:#x}" if has_offset else f"{frame.address:#x}"
    place = []
    if frame.file:
        place.append(show(frame.file) + (f":{frame.line}" if frame.line else ""))
    if module:
        place.append(f"({module})")
    if frame.inlined:
        place.append("(inlined)")
    return gap.join(filter(None, (show(frame.function), " ".join(place))))


def show_name(name: str) -> str:
    """Return a name of the target, made safe to show and not too long."""
    return printable(cut(name, NAME_LIMIT))


def describe_caller(site: Site) -> str:
    """Return which caller or group the blocks of a site belong to, in one line."""
    return prefix(site) + (show_name(site.group) if site.group else _name_caller(site))


def describe_callers(sites: Sequence[Site]) -> list[str]:
    """Return the callers of sites; what a line calls tells those of the same line apart."""
    callers = [describe_caller(site) for site in sites]
    times = Counter(callers)
    return [
        f"{caller}{_name_callee(site)}" if times[caller] > 1 else caller
        for site, caller in zip(sites, callers)
    ]


def _name_callee(site: Site) -> str:
    """Return which function the caller has called to get to the allocator."""
    inner = site.frames[: site.frames.index(site.caller)] if site.caller in site.frames else ()
    name = qualified(inner[-1].function or "") if inner and not site.group else ""
    return f", calling {show_name(name)}" if name else ""


def prefix(site: Site) -> str:
    """Return what stands before a caller whose memory does not come from the heap."""
    return "" if site.kind == "heap" else f"[{site.kind}] "


def _name_caller(site: Site) -> str:
    if site.caller is None:
        return "(unknown)"
    function = shorten(site.caller.function or "", _FUNCTION_IN_CELL, parameters=False)
    file = basename(site.caller.file or "")
    return describe(replace(site.caller, function=function, file=file), show=show_name)
