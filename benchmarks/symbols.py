"""How long names take: a library of many functions, with symbols alone and with debug information.

    python benchmarks/symbols.py [FUNCTIONS]

The library is assembled, not compiled: a compiler would take minutes for it.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from gdbleak.debugger.program import GdbProgram, find_gdb
from gdbleak.debugger.symbols import Symbolizer
from gdbleak.recording.modules import Module, ModuleMap

BASE = 1 << 32
TEXT = 0x1000000
FUNCTION_BYTES = 3

# DWARF 4: the codes of a compilation unit and of a subprogram, with their attributes.
ABBREVIATIONS = """
    .uleb128 1, 0x11; .byte 1; .uleb128 0x25,0x08, 0x13,0x0b, 0x03,0x08, 0x11,0x01, 0x12,0x01
    .uleb128 0x10,0x17, 0,0
    .uleb128 2, 0x2e; .byte 0; .uleb128 0x3f,0x19, 0x03,0x08, 0x11,0x01, 0x12,0x07, 0,0
    .byte 0
"""


def lines(functions: int, debug: bool) -> Iterator[str]:
    """Yield the assembly of the library."""
    yield '.section .note.GNU-stack,"",@progbits; .text; first:; .file 1 "large.cpp"'
    for number in range(functions):
        name = f"_ZN5large7f{number:06}Ev"
        yield f".globl {name}; .type {name},@function; {name}:"
        yield f".loc 1 {number + 1}" if debug else ""
        yield f"nop; nop; ret; .size {name},.-{name}"
    yield "last:"
    if debug:
        yield f'.section .debug_abbrev,"",@progbits; abbreviations: {ABBREVIATIONS}'
        yield '.section .debug_line,"",@progbits; line_table:'
        yield '.section .debug_info,"",@progbits; .long end-begin; begin: .value 4'
        yield '.long abbreviations; .byte 8; .uleb128 1; .string "as"; .byte 4; .string "large"'
        yield ".quad first, last; .long line_table"
        for number in range(functions):
            yield f'.uleb128 2; .string "f{number:06}"; .quad _ZN5large7f{number:06}Ev'
            yield f".quad {FUNCTION_BYTES}"
        yield ".byte 0; end:"


def build(folder: Path, functions: int, debug: bool) -> Path:
    """Assemble the library; its functions lie at TEXT, one behind the other."""
    source = folder / "large.s"
    source.write_text("\n".join(lines(functions, debug)) + "\n")
    output = folder / f"large{debug}.so"
    place = ["-Wl,-Bsymbolic", f"-Wl,-Ttext={TEXT:#x}"]
    subprocess.run(["cc", "-shared", "-nostdlib", *place, source, "-o", output], check=True)
    return output


def measure(gdb: GdbProgram, library: Path, numbers: list[int]) -> tuple[float, int, int]:
    """Return (seconds, how many got a name, how many a line)."""
    module = Module(str(library), BASE, 2 * BASE, BASE, None, str(library))
    symbolizer = Symbolizer(gdb, ModuleMap([module]))
    start = time.monotonic()
    resolved = symbolizer.resolve(BASE + TEXT + FUNCTION_BYTES * n + 1 for n in numbers)
    seconds = time.monotonic() - start
    frames = [frames[-1] for frames in resolved.values()]
    return seconds, sum(bool(f.function) for f in frames), sum(bool(f.line) for f in frames)


def main(functions: int) -> None:
    """Measure and print."""
    gdb = find_gdb()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for debug in (False, True):
            library = build(Path(folder), functions, debug)
            for count in (1, 10_000):
                numbers = random.Random(1).sample(range(functions), min(count, functions))
                information = "debug information" if debug else "symbols"
                rows.append((information, len(numbers), *measure(gdb, library, numbers)))
    print(f"{functions:,} functions, GDB {gdb.version}")
    print(tabulate(rows, ["library with", "addresses", "s", "named", "with line"], floatfmt=".2f"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 200_000)
