"""How the programs of the corpus are compiled: languages, allocators, libraries of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from support.corpus import Program
from support.ldconfig import LIBRARIES, search_library

WARNINGS = ("-Wall", "-Wextra", "-Werror")
_FLAGS = ("-O2", "-g", "-pthread")


class UnbuildableError(Exception):
    """This host lacks what a program is compiled with; says what."""


def build(program: Program, folder: Path, flags: Sequence[str] = ()) -> Path:
    """Compile a program into a folder, and return its path.

    Raises:
        UnbuildableError: it cannot be compiled here.
        subprocess.CalledProcessError: its source is wrong.

    """
    binary = folder / program.name
    if program.path.suffix == ".rs":
        rustc = [_find("rustc"), "-O", "-g", "-o", str(binary), str(program.path)]
        subprocess.run(rustc, check=True)
        return binary
    command = [_compiler(program), *_FLAGS, *flags]
    libraries = []
    if program.module:
        library = f"{binary}.so"
        options = ["-DMODULE", "-shared", "-fPIC", "-fvisibility=hidden", "-s"]
        subprocess.run([*command, *options, "-o", library, str(program.path)], check=True)
        libraries = ["-ldl"] if program.module == "loaded" else [library]
    if program.allocator in LIBRARIES:
        libraries += ["-Wl,--no-as-needed", _find_allocator(program.allocator)]
    subprocess.run([*command, "-o", str(binary), str(program.path), *libraries], check=True)
    return binary


def _compiler(program: Program) -> str:
    if program.allocator == "musl":
        return _find("musl-gcc")
    return "c++" if program.path.suffix == ".cpp" else "cc"


def _find(command: str) -> str:
    path = shutil.which(command)
    if path is None:
        raise UnbuildableError(f"{command} is not installed")
    return path


def _find_allocator(name: str) -> str:
    path = search_library(LIBRARIES[name])
    if path is None:
        raise UnbuildableError(f"{LIBRARIES[name]} is not installed")
    return path
