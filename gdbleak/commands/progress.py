"""The line on standard error that says what a trace is doing."""

from __future__ import annotations

import select
import sys
from contextlib import suppress

from gdbleak.capture.limits import Progress
from gdbleak.capture.probe import ProbeKind
from gdbleak.commands.terminal_line import TerminalLine
from gdbleak.preflight.cost import describe, forecast_inline, load_of
from gdbleak.recording.chosen import BREAKPOINTS, Chosen
from gdbleak.recording.rate import Rate
from gdbleak.text.units import format_count


class ProgressLine:
    """A line that is redrawn in place on a terminal, and written once elsewhere."""

    def __init__(self, target: str, alone: bool = True) -> None:
        """Prepare it.

        Args:
            target: What is traced, in words.
            alone: Whether nothing else is written meanwhile; redrawing would garble that.

        """
        self._target = target
        self._line = TerminalLine(alone)
        self._announced = False
        self._forecast = ""

    def __enter__(self) -> ProgressLine:
        self._line.__enter__()
        self._draw(f"attaching to {self._target}")
        return self

    def __exit__(self, *error: object) -> None:
        self._line.__exit__(*error)

    def announce(
        self,
        rate: Rate,
        usable_sizes: bool,
        budget_percent: float,
        kind: ProbeKind = ProbeKind.BREAKPOINT,
        chosen: Chosen | None = None,
    ) -> None:
        """Say how the process is recorded, why, and what that costs.

        Where nothing is drawn, that is said only when it is not by breakpoints that record all at
        little cost.
        """
        if kind is ProbeKind.INLINE:
            self._forecast = forecast_inline(rate)
        else:
            self._forecast = describe(rate, usable_sizes, budget_percent)
        with suppress(OSError):
            if self._line.draws:
                if chosen:
                    self._line.say(f"gdbleak: {chosen}")
                self._draw(f"attaching to {self._target}")
            elif _takes_text():
                if chosen and chosen.kind != BREAKPOINTS:
                    sys.stderr.write(f"gdbleak: {chosen}\n")
                if load_of(rate, usable_sizes) * 100 > budget_percent and kind != ProbeKind.INLINE:
                    sys.stderr.write(f"gdbleak: {self._forecast}\n")
                sys.stderr.flush()

    def show(self, progress: Progress) -> None:
        """Show where the window stands.

        The target is attached meanwhile, so this neither fails nor waits when nobody reads.
        """
        with suppress(OSError):
            if _takes_text():
                self._show(progress)

    def _show(self, progress: Progress) -> None:
        events_per_s = format_count(round(progress.events_per_s))
        if self._line.draws and progress.search is not None:
            self._draw(
                f"looking for what refers to the blocks: {progress.search:.0%}  (Ctrl-C ends)"
            )
            return
        pace = "sampling" if progress.samples else f"{events_per_s} events/s"
        if self._line.draws:
            if progress.ring_fill is None:
                state = f"{format_count(progress.outstanding)} outstanding"
            else:
                state = f"{format_count(progress.lost)} dropped  ring {progress.ring_fill:.0%} full"
            self._draw(
                f"{progress.elapsed_s:.1f} of {progress.duration_s:g} s"
                f"  {pace}"
                f"  {state}"
                f"  stopped {progress.stopped_s:.1f} s"
                "  (Ctrl-C ends)"
            )
        elif not self._announced:
            self._announced = True
            sys.stderr.write(
                f"gdbleak: tracing {self._target} for {progress.duration_s:g} s"
                " (Ctrl-C ends the window early)\n"
            )
            sys.stderr.flush()

    def _draw(self, line: str) -> None:
        self._line.draw(line, self._forecast)


def _takes_text() -> bool:
    """Whether standard error takes text now: a full pipe and a halted terminal do not."""
    try:
        return bool(select.select([], [sys.stderr], [], 0)[1])
    except ValueError:  # it is not a file
        return True
