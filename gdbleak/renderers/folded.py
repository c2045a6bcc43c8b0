"""Folded stacks, as flamegraph.pl and inferno read them: a line for each, with its bytes.

Source: the comment at the head of flamegraph.pl. Frames are separated by semicolons, the outermost
first; the number of outstanding bytes comes after the last space.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.renderers.stacks import iter_stacks, name
from gdbleak.report.model import Report


@dataclass(frozen=True)
class FoldedRenderer:
    """Writes every site that has outstanding blocks."""

    def render(self, report: Report) -> str:
        """Return the report as text."""
        return "".join(
            f"{';'.join(name(frame).replace(';', ',') for frame in frames)} {size}\n"
            for frames, (size, *_) in iter_stacks(report)
            if size
        )
