"""Which functions an exception may leave, and whether there are exceptions in a process. Pure.

A function whose calls are seen whole has a frame of the recorder under it. No exception can pass
that, and the process would be aborted, unless the function returns to a pad: see `pads`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.recording.functions import FAMILIES, OPERATORS, AllocatorFunction
from gdbleak.recording.modules import Module

_RUNTIME = re.compile(r"lib(stdc\+\+|c\+\+|c\+\+abi|gcc_s|unwind)[.-]")
_THROWING_SYMBOLS = ("__cxa_throw", "_Unwind_RaiseException")
_OPERATOR_NEW = re.compile(rb"(_Zn[wa]m)")
_KNOWN = frozenset(function for family in FAMILIES for function in family)
_HAS_NO_FILE = "[vdso]"


def is_throwing_operator(function: AllocatorFunction) -> bool:
    """Return whether a function is an `operator new` that throws where there is no memory."""
    return function in OPERATORS and function.allocates and "nothrow" not in function.name


def is_unknown(function: AllocatorFunction) -> bool:
    """Return whether a function was named by the user, so that nothing is known of it."""
    return function not in _KNOWN


def find_runtime(modules: Iterable[Module], image: ElfImage) -> str | None:
    """Return the path of what can throw in a process; None where nothing can.

    Args:
        modules: The modules of the process.
        image: The file of an allocator, which may be a program with the runtime in it.

    Raises:
        ElfError: that file is damaged.

    """
    if image.find_functions(_THROWING_SYMBOLS):
        return image.path
    return next((module.path for module in modules if _RUNTIME.match(module.name)), None)


def find_user_of_operators(
    modules: Iterable[Module], allocator: Module, images: ImageCache
) -> str | None:
    """Return the path of a module that may call `operator new`; None where none does.

    Args:
        modules: The modules of the process.
        allocator: The one that defines it, which is left out, as are the runtimes of C++.
        images: Keeps the files.

    """
    effort = Effort()
    for module in modules:
        if module.path in (allocator.path, _HAS_NO_FILE) or _RUNTIME.match(module.name):
            continue
        try:
            if module.file is None or images.open(module.file, effort.share()).search(
                _OPERATOR_NEW
            ):
                return module.path
        except ElfError:  # who cannot be read may be one
            return module.path
    return None
