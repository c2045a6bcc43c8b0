"""What an object is, by its first word: its class, by the table of its virtual functions.

Source: Itanium C++ ABI, 2.5.2 and 2.9: before the first function of such a table is the address of
the class's `std::type_info`, whose second word is that of its mangled name; before that, the offset
to the top of the object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import ElfError
from gdbleak.memory.pieces import WORD_BYTES
from gdbleak.readable import Readable
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.text.class_names import demangle_class

_NAME = re.compile(rb"\*?([A-Za-z0-9_$.]{1,2000})\0")
_VTABLE = "_ZTV"
_LONGEST = 2048
_SHARED = "std::_Sp_counted_ptr_inplace<"
"""A counter and the object that it counts for, in one block. Source: bits/shared_ptr_base.h."""
_DEEPEST = 1 << 20
"""So far into an object a part of it may begin that has a table of its own."""


class Classes:
    """Finds classes by the first words of objects."""

    def __init__(self, memory: Readable, modules: ModuleMap, images: ImageCache) -> None:
        self._memory = memory
        self._modules = modules
        self._images = images

    def find(self, words: Iterable[int]) -> dict[int, str]:
        """Return the names of classes by the words that lead to their tables."""
        found: dict[int, str] = {}
        others: dict[Module, set[int]] = {}
        for word in set(words):
            module = self._modules.find(word)
            if module is None or word % WORD_BYTES:
                continue
            if name := self._read_name(word):
                found[word] = name
            else:
                others.setdefault(module, set()).add(word)
        for module, each in others.items():
            found.update(self._look_up(module, each))
        return {word: _name_for_people(name) for word, name in found.items()}

    def _read_name(self, table: int) -> str | None:
        """Return the mangled name of a class from its type information, if that is there."""
        before = self._memory.read(table - 2 * WORD_BYTES, 2 * WORD_BYTES)
        top = int.from_bytes(before[:WORD_BYTES], "little", signed=True)
        information = int.from_bytes(before[WORD_BYTES:], "little")
        if not -_DEEPEST <= top <= 0 or self._modules.find(information) is None:
            return None
        name = self._read_word(information + WORD_BYTES)
        # The first word of that is the table of one of the library's own classes.
        kind = self._read_word(information)
        if self._modules.find(name) is None or self._modules.find(kind) is None:
            return None
        match = _NAME.match(self._memory.read(name, _LONGEST))
        return match[1].decode("ascii") if match else None

    def _read_word(self, address: int) -> int:
        return int.from_bytes(self._memory.read(address, WORD_BYTES), "little")

    def _look_up(self, module: Module, words: set[int]) -> dict[int, str]:
        """Return mangled names from the symbols of tables, where there is no type information."""
        if module.file is None:
            return {}
        addresses = {word - module.bias: word for word in words}
        with suppress(ElfError):
            image = self._images.open(module.file, Effort())
            variables = image.find_variables(addresses)
            return {
                addresses[address]: variable.name[len(_VTABLE) :]
                for address, variable in variables.items()
                if variable.name.startswith(_VTABLE)
            }
        return {}


def _name_for_people(mangled: str) -> str:
    """Return a class as its program calls it: what `std::make_shared` has made as just that."""
    name = demangle_class(mangled)
    if not name.startswith(_SHARED):
        return name
    depth = 0
    for at, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if depth == 1 and letter == ",":
            return f"std::make_shared<{name[len(_SHARED) : at]}>"
    return name
