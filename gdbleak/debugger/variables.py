"""Names of the variables of a process: by the symbol tables, and by the GDB that reads symbols.

The symbol tables give a name and perhaps a source file. GDB gives the name as the source has it,
the file and the line, also from debug files that lie elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from gdbleak.analysis.images import with_zeros
from gdbleak.debugger.symbol_reader import VariableQuestion
from gdbleak.debugger.symbols import Symbolizer
from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.symbols import VariableSymbol
from gdbleak.errors import ElfError
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.report.variables import Variable


def name_variables(
    addresses: Iterable[int],
    modules: ModuleMap,
    images: ImageCache,
    symbolizer: Symbolizer | None,
) -> dict[int, Variable]:
    """Return the variable at each run-time address that is in a module.

    Args:
        addresses: Of any memory of the process.
        modules: The modules of the process.
        images: Keeps their files for those who read them later.
        symbolizer: Asks GDB; without one, names are as the linker knows them, without lines.

    """
    modules = with_zeros(modules, images)
    wanted: dict[Module, list[int]] = defaultdict(list)
    for address in sorted(set(addresses)):
        module = modules.find(address)
        if module is not None:
            wanted[module].append(address)
    symbols = {
        module: find_symbols(module, [address - module.bias for address in each], images)
        for module, each in wanted.items()
    }
    asked: dict[Module, list[VariableQuestion]] = {}
    for module, each in wanted.items():
        asked[module] = [
            (link, None, known.file if known else None)
            for link in (address - module.bias for address in each)
            for known in [symbols[module].get(link)]
        ]
    declared = symbolizer.resolve_variables(asked) if symbolizer else {}
    found: dict[int, Variable] = {}
    for module, each in wanted.items():
        answers = declared.get(module) or [None] * len(each)
        for address, answer in zip(each, answers):
            known = symbols[module].get(address - module.bias)
            name, offset = (
                (answer.name, answer.offset)
                if answer
                else (known.name, address - module.bias - known.address)
                if known
                else (None, address - module.bias)
            )
            file = (answer and answer.file) or (known.file if known else None)
            line = answer.line if answer and answer.file else None
            found[address] = Variable(module.shown_name, name, offset, file, line)
    return found


def name_thread_variables(
    offsets: Iterable[int], program: Module, images: ImageCache, symbolizer: Symbolizer | None
) -> dict[int, Variable]:
    """Return variables of threads of the program, by where they are in its segment of these."""
    offsets = sorted(set(offsets))
    symbols = find_symbols(program, offsets, images, of_threads=True)
    known = {offset: symbol for offset, symbol in symbols.items() if symbol.name}
    asked: list[VariableQuestion] = [(None, known[offset].name, None) for offset in known]
    declared = symbolizer.resolve_variables({program: asked}) if symbolizer and asked else {}
    answers = declared.get(program) or [None] * len(known)
    return {
        offset: Variable(
            program.shown_name,
            answer.name if answer else symbol.name,
            offset - symbol.address,
            (answer and answer.file) or symbol.file,
            answer.line if answer and answer.file else None,
        )
        for (offset, symbol), answer in zip(known.items(), answers)
    }


def find_symbols(
    module: Module, places: list[int], images: ImageCache, of_threads: bool = False
) -> dict[int, VariableSymbol]:
    """Return what the symbol tables of a module have at some places; nothing if it is damaged."""
    if module.file is None:
        return {}
    try:
        return images.open(module.file, Effort()).find_variables(places, of_threads)
    except ElfError:
        return {}
