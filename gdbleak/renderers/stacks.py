"""What the formats for tools that draw stacks share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gdbleak.renderers.frames import describe
from gdbleak.report.model import Frame, Report, Site
from gdbleak.text.lines import printable


class Weights(NamedTuple):
    """What a call stack weighs."""

    outstanding_bytes: int
    outstanding_count: int
    allocated_bytes: int
    allocated_count: int


def weigh(site: Site) -> Weights:
    """Return what a site weighs; estimates, if the window was recorded in part."""
    return Weights(
        site.outstanding_bytes,
        site.outstanding_count,
        site.allocated_bytes,
        site.allocated_count,
    )


def iter_stacks(report: Report) -> Iterator[tuple[tuple[Frame, ...], Weights]]:
    """Yield the frames, outermost first, and the weight of each site.

    A site without frames, or with a truncated stack, gets one more frame that says so. A site that
    is not of the heap gets one that names its kind.
    """
    for site in report.sites:
        frames = site.frames[::-1]
        if site.truncated or not frames:
            frames = (Frame(0, function="(unknown)"), *frames)
        if site.kind != "heap":
            frames = (*frames, Frame(0, function=f"[{site.kind}]"))
        yield frames, weigh(site)


def name(frame: Frame) -> str:
    """Return the name of a frame: its function, or its place in a module."""
    return printable(frame.function) if frame.function else describe(frame)
