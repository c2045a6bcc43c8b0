"""Demangled names of functions: taken apart to be compared without arguments, and shown short.

The names are as GDB prints them: those of symbols from libiberty's demanglers (cp-demangle.c,
rust-demangle.c), those of debug information as GCC, Clang and rustc write them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

_LONGEST = 20_000
"""How many characters a name may have to be taken apart."""

_SUFFIXES = re.compile(
    r"""
    (?: @{1,2}[\w.]+                   # the version of a symbol: malloc@@GLIBC_2.2.5
      | [ ]\[clone[ ][^\]]*\]          # how the demangler writes the next one
      | \.(?:constprop|isra|part|cold|lto_priv|llvm|localalias)(?:\.\d+)*  # copies by compilers
    )+$
    """,
    re.VERBOSE,
)
_HASHES = re.compile(r"::h[0-9a-f]{16}(?=$|\.)|(?<=\w)\[[0-9a-f]{6,16}\](?=::)")
"""What Rust's manglings add: `::h0123456789abcdef` the old, `alloc[fdfd2bd8633a6659]::` v0."""

_TOKEN = re.compile(
    r"""
      \boperator\s*(?: \(\) | \[\] | ->\*? | <=> | <<=? | >>=? | <=? | >=? )
    | (?:new|delete)\[\] | -> | [<>(){}\[\]] | \w+ | .
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENERS = {">": "<", ")": "(", "}": "{", "]": "["}
_LOCAL = re.compile(r"(?: const| volatile| noexcept| ?&{1,2})*(?=::)")
"""What may stand between a function's parameters and the name of something local to it."""

_STANDARD = (
    (re.compile(r"\bstd::(?:__cxx11|__1|__ndk1|__debug)::"), "std::"),
    (re.compile(r"\[abi:\w+\]"), ""),
    (re.compile(r"(?<=>) +>"), ">"),
    (
        re.compile(
            r"\bstd::basic_(\w+)<char(?:, std::char_traits<char>(?:, std::allocator<char>)?)?>"
        ),
        r"std::\1",
    ),
    (
        re.compile(
            r"\bstd::basic_(\w+)<wchar_t"
            r"(?:, std::char_traits<wchar_t>(?:, std::allocator<wchar_t>)?)?>"
        ),
        r"std::w\1",
    ),
)
_DEFAULT_ARGUMENT = re.compile(
    r"(?:, std::(?:allocator|less|hash|equal_to|default_delete|char_traits)"
    r"<(?:[^<>]|<(?:[^<>]|<[^<>]*>)*>)*>)+(?=>)"
)

_Kind = Literal["text", "template", "self", "parameters", "tag", "group"]


class _Piece(NamedTuple):
    kind: _Kind
    text: str


def qualified(name: str) -> str:
    """Return the bare name of a function: no arguments, return type, hash, version or suffix.

    Rust's `<T as Trait>::f` becomes `T::f`, or `Trait::f` if T is not a path.

    >>> qualified("void std::vector<int, A<int> >::push_back(int const&) [clone .cold]")
    'std::vector::push_back'
    >>> qualified("<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop::h0123456789abcdef")
    'alloc::vec::Vec::drop'
    """
    if len(name) > _LONGEST:
        return name
    bare = _HASHES.sub("", _SUFFIXES.sub("", name)).removeprefix("__GI_")  # glibc's own names
    texts = [
        _path_of_self(piece.text) if piece.kind == "self" else piece.text
        for piece in _without_return_type(_pieces(bare))
        if piece.kind not in ("template", "parameters", "tag")
    ]
    return re.sub(r":{2,}", "::", "".join(texts)).removesuffix("::").strip() or name


def shorten(name: str, wanted: int, *, parameters: bool = True) -> str:
    """Return a name as people would write it and, if it is too long, without its arguments.

    Hashes and default arguments of the standard library's templates always go. A name longer
    than `wanted` loses its return type, its parameters, and then its template arguments, the
    innermost first. If it is still longer then, it is returned as it is.

    >>> shorten("std::vector<int, std::allocator<int> >::push_back(int const&)", 40)
    'std::vector<int>::push_back(int const&)'
    >>> shorten("cache::Table<std::pair<int, cache::Entry<long> >, 7>::insert(int)", 45)
    'cache::Table<std::pair<...>, 7>::insert(...)'
    """
    if len(name) > _LONGEST:
        return name
    name = _tidy(_HASHES.sub("", name))
    if parameters and len(name) <= wanted:
        return name
    pieces = _without_return_type(_pieces(name))
    short = name
    for depth in (_LONGEST, 2, 1, 0):
        short = "".join(_abbreviate(piece, depth, parameters) for piece in pieces).strip()
        if len(short) <= wanted:
            break
    return short or name


def _tidy(name: str) -> str:
    for pattern, short in _STANDARD:
        name = pattern.sub(short, name)
    count = 1
    while count:  # an inner one hides that it is an argument of one that goes too
        name, count = _DEFAULT_ARGUMENT.subn("", name)
    return name


def _tokens(text: str) -> Iterator[tuple[str, int, int, int]]:
    """Yield each token, where it ends, and how deep in brackets and in angle ones the next is."""
    stack = [("", 0)]
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "<({[":
            stack.append((token, stack[-1][1] + (token == "<")))
        elif token == ">" and stack[-1][0] == "<":
            stack.pop()
        elif token in ")}]":
            # A `<` that is still open in there compares: `A<((x)<(y))>`.
            level = len(stack) - 1
            while stack[level][0] == "<":
                level -= 1
            if stack[level][0] == _OPENERS[token]:
                del stack[level:]
        yield token, match.end(), len(stack) - 1, stack[-1][1]


def _pieces(name: str) -> list[_Piece]:
    """Split a name at its outermost brackets."""
    pieces = []
    begin = depth = 0
    for token, end, next_depth, _ in _tokens(name):
        if depth == 0 and next_depth == 1:
            start = end - len(token)
            if start > begin:
                pieces.append(_Piece("text", name[begin:start]))
            begin = start
        elif depth > 0 and next_depth == 0:
            kind = _kind_of(name, begin, end)
            if kind == "parameters":
                local = _LOCAL.match(name, end)
                end = local.end() if local else len(name)
                pieces.append(_Piece(kind, name[begin:end]))
                if not local:
                    return pieces
            else:
                pieces.append(_Piece(kind, name[begin:end]))
            begin = end
        depth = next_depth
    if begin < len(name):
        pieces.append(_Piece("text", name[begin:]))
    return pieces


def _kind_of(name: str, begin: int, end: int) -> _Kind:
    """Return what kind of brackets stands from `begin` to `end` of a name."""
    group = name[begin:end]
    if group[0] == "<":
        if group.startswith(("<lambda", "<unnamed")):  # GCC's debug information
            return "group"
        return "template" if begin else "self"
    if group[0] == "(" and group != "(anonymous namespace)":
        # In a return type: `decltype(auto) f()`, `void (*f(int))(char)`. In Go: `a.(*T).f`.
        in_type = not begin or name.endswith((" ", "decltype"), 0, begin)
        if not in_type and (end == len(name) or name[end] == " " or _LOCAL.match(name, end)):
            return "parameters"
    return "tag" if group.startswith("[abi:") else "group"


def _without_return_type(pieces: list[_Piece]) -> list[_Piece]:
    """Leave out what stands before the last blank outside of brackets and operators.

    Blanks after `operator` belong to it: `A::operator B<C> const&()`.
    """
    start, first = 0, ""
    for index, piece in enumerate(pieces):
        if piece.kind != "text":
            continue
        plain, *rest = re.split(r"(?=\boperator\b)", piece.text, maxsplit=1)
        _, blank, last = plain.rpartition(" ")
        if blank:
            start, first = index + 1, "".join((last, *rest))
        if rest:
            break
    return [_Piece("text", first), *pieces[start:]] if start else pieces


def _path_of_self(group: str) -> str:
    """Return the path that best says where a method of Rust's `<T as Trait>` belongs."""
    inner = group[1:-1]
    words = (end for token, end, depth, _ in _tokens(inner) if depth == 0 and token == "as")
    end = next(words, None)
    own, trait = (inner, "") if end is None else (inner[: end - 3], inner[end + 1 :])
    own = own.lstrip("&*").removeprefix("mut ").removeprefix("const ")
    path = own if own.startswith("<") else qualified(own)
    return path if "::" in path or not trait else qualified(trait)


def _abbreviate(piece: _Piece, depth: int, parameters: bool) -> str:
    """Return a piece with template arguments up to a depth."""
    if piece.kind == "text":
        return piece.text
    if piece.kind == "parameters":
        return ("()" if piece.text.startswith("()") else "(...)") if parameters else ""
    if piece.kind != "template" and piece.text[0] == "<":
        depth += 1  # these are not the brackets of a template
    shown = []
    angles = 0
    for token, _, _, next_angles in _tokens(piece.text):
        if angles <= depth:
            shown.append(token if next_angles <= depth else "<...>")
        elif next_angles <= depth and token != ">":
            shown.append(token)
        angles = next_angles
    return "".join(shown)
