"""The report of a recording: analysed, with the names that GDB reads from the files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from gdbleak.analysis.holders import Name, Root
from gdbleak.analysis.options import ReportOptions
from gdbleak.analysis.passes import analyse
from gdbleak.debugger.program import GdbProgram
from gdbleak.debugger.symbols import Symbolizer, locate
from gdbleak.debugger.variables import name_variables
from gdbleak.elf.cache import ImageCache
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.recording.reader import Recording, reading
from gdbleak.report.model import Frame, Report
from gdbleak.target.owners import Owner

INTERRUPTED = "interrupted: function names were not read"


def report_on_window(
    recording: Recording,
    images: ImageCache,
    options: ReportOptions,
    gdb: GdbProgram | None,
    owner: Owner | None,
) -> Report:
    """Make the report of a window that is over; Ctrl-C makes it one without names.

    Raises:
        KeyboardInterrupt: it came once more.

    """
    try:
        return make_report(recording, lambda module: module, options, gdb, owner, True, images)
    except KeyboardInterrupt:
        return make_report(recording, lambda module: module, options, None, images=images)


def make_report(
    recording: Recording,
    find_file: Callable[[Module], Module],
    options: ReportOptions,
    gdb: GdbProgram | None,
    owner: Owner | None = None,
    interruptible: bool = False,
    images: ImageCache | None = None,
) -> Report:
    """Make a report; without a GDB, which takes the longest, it has no names.

    Nor has it any if it is interruptible, and Ctrl-C comes while they are read.
    """
    with reading(recording.path):
        before = ModuleMap(recording.head.modules)
        after = ModuleMap(recording.end.modules if recording.end else ())
        modules = ModuleMap(find_file(module) for module in before.merge(after))
    notes = recording.notes

    symbolizer = Symbolizer(gdb, modules, owner) if gdb else None
    images = images or ImageCache()

    def resolve(addresses: Iterable[int]) -> dict[int, tuple[Frame, ...]]:
        if symbolizer:
            try:
                return symbolizer.resolve(addresses)
            except KeyboardInterrupt:
                if not interruptible:
                    raise
        notes.append(INTERRUPTED)
        return {address: (locate(address, modules),) for address in addresses}

    def name_roots(roots: Collection[Root]) -> dict[Root, Name]:
        words = [word for word, _ in roots]
        try:
            variables = name_variables(words, modules, images, symbolizer)
        except KeyboardInterrupt:
            if not interruptible:
                raise
            return {}
        return {
            root: (variable.text, variable.place)
            for root in roots
            if (variable := variables.get(root[0]))
        }

    report = analyse(recording, modules, options, resolve, images, name_roots)
    notes += symbolizer.notes if symbolizer else ()
    return replace(report, notes=(*report.notes, *notes))
