"""`gdbleak hunt`: censuses of the heap, and then a trace of the size that grows."""

from __future__ import annotations

import argparse
import sys

from gdbleak.bounds import Bounds, bounds_of
from gdbleak.census.wish import HeapWish
from gdbleak.commands.arguments import add_report_arguments, within
from gdbleak.commands.heap import look
from gdbleak.commands.output import Output, choose_output
from gdbleak.commands.process_argument import add_process_argument, choose_process
from gdbleak.commands.trace import Trace
from gdbleak.commands.window_arguments import add_window_arguments
from gdbleak.plan.sizes import parse_sizes
from gdbleak.report.growing_size import GrowingSize, choose_size
from gdbleak.report.heap import HeapReport
from gdbleak.report.heap_findings.blocks import find_growth
from gdbleak.report.trend import ENOUGH
from gdbleak.text.quantities import parse_seconds

_TEXT_FORMATS = ("table", "plain")
_LONGER = 6
"""So many times as long are the intervals that are proposed when nothing grows."""


class Hunt:
    """Find the size of blocks that grows, and who allocates it."""

    summary = "find which size of blocks grows, and then who allocates it"
    description = (
        "Count the blocks of a process's heap by size, several times, without stopping it. Then "
        "attach with gdb, and record only blocks of the size that grows fastest, as `gdbleak trace "
        "--size` does. If no size grows steadily, nothing is attached to. Ctrl-C while blocks are "
        "counted ends it without a trace."
    )
    examples = """\
  gdbleak hunt 4711
  gdbleak hunt redis-server --interval 60 --count 10 --duration 60
  gdbleak hunt 4711 --fail-on leak,growing -o leak.html
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_process_argument(parser, "look at, and then to trace")
        group = parser.add_argument_group("the censuses")
        group.add_argument(
            "--interval",
            type=within(bounds_of(HeapWish, "interval_s"), parse_seconds),
            default=HeapWish.interval_s,
            metavar="S",
            help="count blocks every S seconds (default: %(default)g)",
        )
        group.add_argument(
            "--count",
            type=within(Bounds(2, bounds_of(HeapWish, "count").high), int),
            default=ENOUGH,
            metavar="N",
            help="count them N times (default: %(default)s; fewer cannot tell for sure)",
        )
        add_window_arguments(parser)
        add_report_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        Output(options)  # what is wrong with it is said before minutes have passed
        options.process = choose_process(options.process, "hunt")
        seconds = options.interval * (options.count - 1)
        sys.stderr.write(
            f"gdbleak: counting the blocks of process {options.process} {options.count} times in"
            f" {seconds:g} s (Ctrl-C ends it without a trace)\n"
        )
        process = argparse.Namespace(process=options.process, exe=None, sysroot=None)
        wish = HeapWish(options.interval, options.count)
        heap = look(process, "hunt", wish)
        found = choose_size(heap)
        _tell(_describe(heap, found, options), options)
        if found is None or heap.taking.censuses < options.count:
            return 0
        return Trace().run(_trace_options(options, found))


def _trace_options(options: argparse.Namespace, found: GrowingSize) -> argparse.Namespace:
    """Return what `gdbleak trace` would have been told."""
    parser = argparse.ArgumentParser()
    Trace().add_arguments(parser)
    told = {**vars(parser.parse_args([])), **vars(options)}
    told["process"] = [options.process]
    told.update(size=parse_sizes(found.option), interval=None, count=None)  # the censuses' own
    return argparse.Namespace(**told)


def _describe(heap: HeapReport, found: GrowingSize | None, options: argparse.Namespace) -> str:
    """Say what was found, and what comes next."""
    lines = [weighed.finding.text for weighed in find_growth(heap)]
    if not lines:
        lines = ["No allocator was found whose blocks can be counted by size."]
    if heap.taking.censuses < options.count:
        lines.append("The censuses were ended early, so nothing was traced.")
        if found:
            lines.append(f"  Next: gdbleak trace {heap.pid} --size {found.option}")
    elif found is None:
        interval = options.interval * _LONGER
        lines.append("Nothing was traced: no size is worth it yet.")
        lines.append(f"  Next: gdbleak hunt {heap.pid} --interval {interval:g}")
    else:
        lines.append(f"Now: gdbleak trace {heap.pid} --size {found.option}")
    return "\n".join(lines) + "\n\n"


def _tell(text: str, options: argparse.Namespace) -> None:
    """Write before the report what it is about; beside it, where a program may read that."""
    is_text = options.output or choose_output(options.format).form in _TEXT_FORMATS
    stream = sys.stdout if is_text else sys.stderr
    stream.write(text)
    stream.flush()
