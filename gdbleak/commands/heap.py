"""`gdbleak heap`: what is in the heap of a process or a core file."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from gdbleak.bounds import Bounds, bounds_of
from gdbleak.census.wish import HeapWish, LostWish
from gdbleak.commands.arguments import file_name, within
from gdbleak.commands.core_arguments import add_core_arguments, describe_examined, open_examined
from gdbleak.commands.output import check_writable, choose_output, is_same_file, write_out
from gdbleak.commands.terminal_line import TerminalLine
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import UsageError, WriteError
from gdbleak.renderers.heap import HEAP_FORMATS, heap_format_for
from gdbleak.report.heap import HeapReport
from gdbleak.report.heap_reader import is_heap_report, read_heap_report
from gdbleak.text.quantities import parse_bytes, parse_milliseconds, parse_seconds


class Heap:
    """Count what is in a heap, by size, arena and mapping."""

    summary = "say what is in the heap: sizes, arenas, fragmentation, the address space"
    description = (
        "Count every block of a process's heap, in use and free, by size and by arena, and name "
        "every mapping. The process is neither attached to nor stopped. With --count, see which "
        "sizes grow. A core file will do as well."
    )
    examples = """\
  gdbleak heap 4711                     what is in its heap?
  gdbleak heap 4711 --interval 60 --count 10
  gdbleak heap 4711 --lost              and which blocks does nothing refer to?
  gdbleak heap core.4711 --sysroot box  a core file of another machine
  gdbleak heap 4711 --save monday.heap  for `gdbleak diff` later, or
  gdbleak heap monday.heap -o monday.html
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_core_arguments(parser)
        add_heap_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        return show_heap(options, "heap")


def add_heap_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a look at a heap."""
    group = parser.add_argument_group("the census")
    group.add_argument(
        "--count",
        type=within(bounds_of(HeapWish, "count"), int),
        metavar="N",
        help="take N censuses, and say which sizes grow (default: 1; 6 with --interval)",
    )
    group.add_argument(
        "--interval",
        type=within(bounds_of(HeapWish, "interval_s"), parse_seconds),
        metavar="S",
        help=f"take them S seconds apart (default: {HeapWish.interval_s:g})",
    )
    group.add_argument(
        "--stop",
        action="store_true",
        help="stop the process for each census, and print for how long; system calls that wait may "
        "return EINTR then; without it, two looks have to agree",
    )
    group.add_argument(
        "--max-pause",
        type=within(bounds_of(HeapWish, "max_pause_ms"), parse_milliseconds),
        metavar="MS",
        help="with --stop, let the process run on after MS milliseconds, whatever has been counted "
        f"(default: {HeapWish.max_pause_ms:g})",
    )
    group.add_argument(
        "--lost",
        action="store_true",
        help="look for blocks that nothing in the process refers to, as `gdbleak leaks` does; if "
        "some seem lost, each thread is halted for some microseconds, to see its registers",
    )
    add_lost_arguments(group)
    report = parser.add_argument_group("the report")
    report.add_argument(
        "--top",
        type=within(Bounds(1), int),
        default=10,
        metavar="N",
        help="show the first N rows of each table; json and csv hold all (default: %(default)s)",
    )
    report.add_argument(
        "--format",
        choices=tuple(HEAP_FORMATS),
        metavar="NAME",
        help=f"one of {', '.join(HEAP_FORMATS)}; default: what FILE's suffix says, else table on a "
        "terminal and plain elsewhere",
    )
    report.add_argument(
        "-o",
        "--output",
        type=file_name,
        metavar="FILE",
        help="write the report to FILE instead; the format follows its suffix",
    )
    report.add_argument(
        "--save",
        type=file_name,
        metavar="FILE",
        help="write everything to FILE as well, for `gdbleak diff`",
    )


def add_lost_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the options of a search for lost blocks."""
    group.add_argument(
        "--content",
        action="store_true",
        help="--lost, and show the first bytes of lost blocks: they may be anybody's data",
    )
    group.add_argument(
        "--scan-rate",
        type=within(bounds_of(LostWish, "scan_rate"), parse_bytes),
        default=LostWish.scan_rate,
        metavar="BYTES",
        help="for --lost, read at most so many bytes of a process a second (default: "
        f"{LostWish.scan_rate >> 30}G)",
    )
    group.add_argument(
        "--max-memory",
        type=within(bounds_of(LostWish, "max_memory"), parse_bytes),
        metavar="BYTES",
        help="for --lost, leave it out where it may take more memory, at 150 bytes a block "
        "(default: half of what is left on this machine)",
    )
    group.add_argument(
        "--scan-time",
        type=within(bounds_of(LostWish, "time_s"), parse_seconds),
        default=LostWish.time_s,
        metavar="S",
        help="for --lost, give up where it would take more than S seconds (default: "
        f"{LostWish.time_s:g})",
    )


def wish_of(options: argparse.Namespace) -> HeapWish:
    """Return how to look at the heap, by the options.

    Raises:
        UsageError: one of them has no effect.

    """
    several = options.interval is not None
    if several and options.count == 1:
        raise UsageError("--interval needs several censuses", "add --count 6, or leave it out")
    if options.max_pause is not None and not options.stop:
        raise UsageError("without --stop the process is not stopped", "add --stop")
    return HeapWish(
        interval_s=options.interval if several else HeapWish.interval_s,
        count=options.count or (6 if several else 1),
        stop=options.stop,
        max_pause_ms=options.max_pause or HeapWish.max_pause_ms,
        lost=LostWish(options.content, options.scan_time, options.scan_rate, options.max_memory)
        if options.lost or options.content
        else None,
    )


def show_heap(options: argparse.Namespace, command: str) -> int:
    """Look at a heap, and show what is in it; return the exit status."""
    form = _choose_format(options)
    wish = wish_of(options)
    _check_files(options)
    report = _read_saved(options.process) or look(options, command, wish)
    medium = choose_output(form)
    text = HEAP_FORMATS[form].render(
        report,
        options.top,
        None if options.output else medium.width,
        color=not options.output and medium.color,
        ascii_only=not options.output and not medium.is_unicode,
    )
    if not options.output:
        write_out(text)
    saved = HEAP_FORMATS["json"].render(report, options.top, None, color=False)
    for path, content in ((options.output, text), (options.save, saved)):
        if path:
            _write(path, content, report, options)
    return 0


def _read_saved(process: int | str) -> HeapReport | None:
    """Return the report that a file holds, if one is given instead of a process; else None.

    Raises:
        RecordingError: it is damaged.

    """
    if isinstance(process, int) or not Path(process).is_file():
        return None
    try:
        with Path(process).open("rb") as file:
            if file.read(1) != b"{":
                return None
        text = Path(process).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return read_heap_report(text, process) if is_heap_report(text) else None


def _check_files(options: argparse.Namespace) -> None:
    """Check that what is to be written can be, and takes the place of nothing else.

    Raises:
        UsageError: two files are the same.
        WriteError: one cannot be written.

    """
    written = [path for path in (options.output, options.save) if path]
    read = [path for path in (str(options.process), options.exe) if path and Path(path).is_file()]
    for path in written:
        if any(is_same_file(path, other) for other in read):
            raise UsageError(f"the report would overwrite {path}", "name another file")
        check_writable(path)
    if len(written) == 2 and is_same_file(*written):
        raise UsageError("-o and --save name the same file", "name two")


def look(options: argparse.Namespace, command: str, wish: HeapWish) -> HeapReport:
    """Return what is in the heap that the options of `add_core_arguments` say."""
    from gdbleak.census.examine import Examination

    with ExitStack() as stack:
        images = stack.enter_context(ImageCache())
        process = stack.enter_context(open_examined(options, images, command))
        line = stack.enter_context(TerminalLine())
        if not line.draws:
            sys.stderr.write(f"gdbleak: counting the blocks of {describe_examined(process)}\n")

        def tell(number: int, share: float) -> None:
            what = "counting"
            if number == wish.count:
                what = "looking for what refers to each block"
            elif wish.count > 1:
                what = f"counting {number + 1} of {wish.count}"
            line.draw(f"{what}: {100 * share:.0f} % (Ctrl-C ends it early)")

        core = options.process if process.is_core else None
        return Examination(process, images, wish, tell).run(core)


def _choose_format(options: argparse.Namespace) -> str:
    if options.format or not options.output:
        return choose_output(options.format).form
    form = heap_format_for(options.output)
    if form is None:
        raise UsageError(
            f"the suffix of {options.output} names no format",
            f"add --format, one of {', '.join(HEAP_FORMATS)}",
        )
    return form


def _write(path: str, content: str, report: HeapReport, options: argparse.Namespace) -> None:
    """Write a file; if that fails, show what it was about, which cannot be had again.

    Raises:
        WriteError: it failed.

    """
    try:
        Path(path).write_text(content, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        if Path(path).is_file():  # a part of it misleads
            Path(path).unlink()
        if path == options.output:
            write_out(HEAP_FORMATS["plain"].render(report, options.top, None))
        raise WriteError(
            f"cannot write {path}: {error.strerror}; the report went to standard output"
        ) from error
