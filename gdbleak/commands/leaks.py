"""`gdbleak leaks`: what `gdbleak heap --lost` does, under the name that people type."""

from __future__ import annotations

import argparse

from gdbleak.commands.core_arguments import add_core_arguments
from gdbleak.commands.heap import add_heap_arguments, show_heap


class Leaks:
    """Look for blocks that nothing refers to."""

    summary = "list the blocks that nothing refers to: short for `heap --lost`"
    description = (
        "Look for the blocks of a process's heap that nothing in it refers to, and put them "
        "together as trees: each root that is lost, with all that it alone holds. Where something "
        "seems to be lost, each thread is halted for some microseconds, to see its registers; "
        "system calls that wait may return EINTR then. A core file will do as well. It says how "
        "much is lost, not who allocated it: for that, type `gdbleak trace`. It needs a heap of "
        "glibc's malloc."
    )
    examples = """\
  gdbleak leaks 4711                    what is lost?
  gdbleak leaks 4711 --content          and what is in it?
  gdbleak leaks core.4711 --sysroot box
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_core_arguments(parser)
        add_heap_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        options.lost = True
        return show_heap(options, "leaks")
