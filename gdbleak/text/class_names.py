"""Names of C++ classes, made readable. Pure.

Source: Itanium C++ ABI, 5.1: what stands for a type, as the names of virtual tables and of type
information have it. Whatever is not a class, or uses what only names of functions need, stays as it
is.

>>> demangle_class("N3app6WidgetIiEE")
'app::Widget<int>'
"""

from __future__ import annotations

from contextlib import suppress

_BASIC = {
    "v": "void",
    "w": "wchar_t",
    "b": "bool",
    "c": "char",
    "a": "signed char",
    "h": "unsigned char",
    "s": "short",
    "t": "unsigned short",
    "i": "int",
    "j": "unsigned int",
    "l": "long",
    "m": "unsigned long",
    "x": "long long",
    "y": "unsigned long long",
    "n": "__int128",
    "o": "unsigned __int128",
    "f": "float",
    "d": "double",
    "e": "long double",
    "g": "__float128",
    "z": "...",
    "Dn": "decltype(nullptr)",
    "Ds": "char16_t",
    "Di": "char32_t",
    "Du": "char8_t",
}
_STANDARD = {
    "St": "std",
    "Sa": "std::allocator",
    "Sb": "std::basic_string",
    "Ss": "std::string",
    "Si": "std::istream",
    "So": "std::ostream",
    "Sd": "std::iostream",
}
_MARKS = {"P": "*", "R": "&", "O": "&&"}
_LITERALS = {"b": {"0": "false", "1": "true"}}
_SUFFIXES = {"j": "u", "l": "l", "m": "ul", "x": "ll", "y": "ull"}
_ANONYMOUS = "(anonymous namespace)"
_HOLE = "\0"
"""Stands in a type of functions or arrays for where its name would be."""
_MOST_STEPS = 4000
_DEEPEST = 60
_LONGEST = 4096


class _UnknownError(Exception):
    """There is something that is not known here."""


def demangle_class(name: str) -> str:
    """Return the name of a class as its program writes it; what cannot be read as it is.

    Args:
        name: As `std::type_info` keeps it: without `_ZTS`.

    """
    with suppress(_UnknownError, IndexError):
        reader = _Reader(name)
        readable = reader.read_plain()
        if reader.is_done:
            return readable
    return name


class _Reader:
    """Reads one name from its beginning on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._known: list[str] = []
        """What further parts may refer to by number."""
        self._steps = self._depth = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._text)

    def _starts(self, *wanted: str) -> bool:
        return self._text.startswith(wanted, self._at)

    def _take(self, wanted: str) -> bool:
        if not self._text.startswith(wanted, self._at):
            return False
        self._at += len(wanted)
        return True

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _keep(self, name: str) -> str:
        if len(name) > _LONGEST:
            raise _UnknownError
        self._known.append(name)
        return name

    def read_type(self) -> str:
        """Return a type. Source: `<type>`."""
        self._steps += 1
        self._depth += 1
        if self._steps > _MOST_STEPS or self._depth > _DEEPEST:
            raise _UnknownError
        try:
            return self._read_type()
        finally:
            self._depth -= 1

    def read_plain(self) -> str:
        """Return a type as it stands by itself."""
        return self.read_type().replace(_HOLE, "")

    def _read_type(self) -> str:
        for code in (self._text[self._at : self._at + 2], self._text[self._at : self._at + 1]):
            if code in _BASIC:
                self._at += len(code)
                return _BASIC[code]
        if self._starts("r", "V", "K"):
            qualifiers = self._read_qualifiers()
            return self._keep(_put_behind(self.read_type(), qualifiers))
        if self._starts(*_MARKS):
            mark = _MARKS[self._next()]
            return self._keep(_put_behind(self.read_type(), mark))
        if self._take("Dp"):
            return self._keep(f"{self.read_type()}...")
        if self._take("F"):
            return self._keep(self._read_function())
        if self._take("A"):
            size = self._read_digits()
            if not self._take("_"):
                raise _UnknownError
            return self._keep(f"{self.read_plain()} {_HOLE}[{size}]")
        if self._take("M"):
            owner, member = self.read_plain(), self.read_type()
            return self._keep(_put_behind(member, f" {owner}::*"))
        return self._read_name()

    def _read_qualifiers(self) -> str:
        words = {"r": " restrict", "V": " volatile", "K": " const"}
        found = ""
        while self._starts(*words):
            found = words[self._next()] + found
        return found

    def _read_function(self) -> str:
        """Return the type of a function. Source: `<function-type>`."""
        self._take("Y")
        result = self.read_plain()
        parameters = []
        while not self._take("E"):
            parameters.append(self.read_plain())
        listed = "" if parameters == ["void"] else ", ".join(parameters)
        return f"{result} {_HOLE}({listed})"

    def _read_name(self) -> str:
        """Return the name of a class or template. Source: `<name>`."""
        if self._take("N"):
            return self._read_nested()
        if self._take("Z"):
            return self._read_local()
        if self._starts("S") and not self._starts("St"):
            name = self._read_known()
        else:
            name = "std::" if self._take("St") else ""
            name = self._keep(name + self._read_own_name())
        if self._starts("I"):
            return self._keep(name + self._read_arguments())
        return name

    def _read_nested(self) -> str:
        """Return a name in a namespace or class. Source: `<nested-name>`."""
        self._read_qualifiers()
        name = ""
        while not self._take("E"):
            if self._starts("I"):
                name += self._read_arguments()
            elif self._starts("S"):
                name = self._read_known()
                continue
            else:
                name = f"{name}::{self._read_own_name()}" if name else self._read_own_name()
            if not self._starts("E"):
                self._keep(name)
        return self._keep(name)

    def _read_local(self) -> str:
        """Return the name of what a function declares. Source: `<local-name>`.

        What the function is called is not read, but for its own name.
        """
        begin = self._at
        function = self._read_name()
        while not self._starts("E"):
            self.read_type()
        if not self._take("E") or begin == self._at:
            raise _UnknownError
        name = self._read_own_name()
        if self._take("_"):
            self._read_digits()
        return self._keep(f"{function}()::{name}")

    def _read_own_name(self) -> str:
        """Return one part of a name. Source: `<unqualified-name>`."""
        if self._take("Ut"):
            return f"{{unnamed type#{self._read_ordinal()}}}"
        if self._take("Ul"):
            parameters = []
            while not self._take("E"):
                parameters.append(self.read_plain())
            listed = "" if parameters == ["void"] else ", ".join(parameters)
            return f"{{lambda({listed})#{self._read_ordinal()}}}"
        self._take("L")
        length = int(self._read_digits())
        name = self._text[self._at : self._at + length]
        if not length or len(name) != length:
            raise _UnknownError
        self._at += length
        if name.startswith("_GLOBAL_") and name[9:10] == "N":
            name = _ANONYMOUS
        while self._take("B"):
            name += f"[abi:{self._read_own_name()}]"
        return name

    def _read_ordinal(self) -> int:
        digits = "" if self._take("_") else self._read_digits()
        if digits and not self._take("_"):
            raise _UnknownError
        return int(digits) + 2 if digits else 1

    def _read_digits(self) -> str:
        begin = self._at
        while self._text[self._at : self._at + 1].isdecimal() and self._at - begin < 18:
            self._at += 1
        if begin == self._at:
            raise _UnknownError
        return self._text[begin : self._at]

    def _read_known(self) -> str:
        """Return what was met before, or a name that all know. Source: `<substitution>`."""
        code = self._text[self._at : self._at + 2]
        if code in _STANDARD:
            self._at += 2
            return _STANDARD[code]
        self._at += 1
        number = 0
        if not self._take("_"):
            begin = self._at
            while not self._starts("_"):
                self._next()
            number = _read_base_36(self._text[begin : self._at]) + 1
            self._at += 1
        return self._known[number]

    def _read_arguments(self) -> str:
        """Return what a template was given. Source: `<template-args>`."""
        self._at += 1
        found: list[str] = []
        while not self._take("E"):
            found += self._read_argument()
        closing = " >" if found and found[-1].endswith(">") else ">"
        return f"<{', '.join(found)}{closing}"

    def _read_argument(self) -> list[str]:
        if self._take("L"):
            return [self._read_literal()]
        if self._take("J"):
            found: list[str] = []
            while not self._take("E"):
                found += self._read_argument()
            return found
        if self._starts("X"):
            raise _UnknownError
        return [self.read_plain()]

    def _read_literal(self) -> str:
        """Return a number, or what stands for one. Source: `<expr-primary>`."""
        if self._starts("_Z"):
            raise _UnknownError
        code = self._text[self._at]
        kind = self.read_plain()
        sign = "-" if self._take("n") else ""
        digits = self._read_digits()
        if not self._take("E"):
            raise _UnknownError
        if code in _LITERALS:
            return _LITERALS[code].get(digits, digits)
        if code == "i" or code in _SUFFIXES:
            return f"{sign}{digits}{_SUFFIXES.get(code, '')}"
        return f"({kind}){sign}{digits}"


def _put_behind(kind: str, mark: str) -> str:
    """Return a type with something behind it; of a function or array, where their names stand."""
    before, hole, after = kind.partition(_HOLE)
    if not hole:
        return kind + mark
    if after.startswith(")"):
        return f"{before}{mark}{_HOLE}{after}"
    blank = " " if after.startswith("[") else ""
    return f"{before}({mark.strip()}{_HOLE}){blank}{after}"


def _read_base_36(text: str) -> int:
    if not text.isalnum() or not text.isascii() or text != text.upper():
        raise _UnknownError
    return int(text, 36)
