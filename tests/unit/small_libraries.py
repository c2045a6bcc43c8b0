"""Small libraries of assembly, whose labels say what is to be found in them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

FUNCTION = """
    .globl {name}
    .type {name}, @function
{name}:
    .cfi_startproc
{body}
    .cfi_endproc
    .size {name}, . - {name}
"""


def function(name: str, body: str) -> str:
    """Return the assembly of a function; its instructions are separated by semicolons."""
    return FUNCTION.format(name=name, body="\n".join(f"    {x}" for x in body.split("; ")))


def hidden(name: str, body: str) -> str:
    """Return a function that is called without the linkage table."""
    return f"    .hidden {name}\n{function(name, body)}"


def build_library(folder: Path, *functions: str, flags: Iterable[str | Path] = ()) -> Path:
    """Make a shared library of assembly; return its path."""
    source, library = folder / "library.s", folder / "library.so"
    end = '\n    .section .note.GNU-stack,"",@progbits\n'
    source.write_text("    .text\n" + "".join(functions) + end)
    command = ["cc", "-shared", "-nostdlib", "-o", library, source, *flags]
    subprocess.run(command, check=True)
    return library


def marks(library: Path, kind: str = "probe_") -> set[int]:
    """Return the addresses of the labels `probe_N`, or of another kind."""
    text = subprocess.run(["nm", library], check=True, capture_output=True, text=True).stdout
    return {int(a, 16) for a, name in re.findall(r"(\w+) . (\S+)", text) if kind in name}
