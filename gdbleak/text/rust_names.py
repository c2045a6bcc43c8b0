"""Names of Rust functions as a GDB before 7.12 prints them: demangled as C++.

Rust's old mangling is that of C++, with escapes for what C++ lacks. Source: rustc's
`compiler/rustc_symbol_mangling/src/legacy.rs`.
"""

from __future__ import annotations

import re

_HASH = re.compile(r"::h[0-9a-f]{16}(?=$|\.)")
_ESCAPE = re.compile(r"\$(\w+?)\$|\.\.")
_NAMED = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}


def unescape(name: str) -> str:
    """Return a name without the escapes of Rust's old mangling; other names stay as they are.

    >>> unescape("_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$a..Drop$GT$::drop::h0123456789abcdef")
    '<alloc::vec::Vec<T> as a::Drop>::drop::h0123456789abcdef'
    """
    if not _HASH.search(name):
        return name
    # A component that would begin with an escape begins with an underscore before it.
    return _ESCAPE.sub(_unescape_one, re.sub(r"(^|::)_(?=\$)", r"\1", name))


def _unescape_one(match: re.Match[str]) -> str:
    word = match[1]
    if word is None:
        return "::"
    if word in _NAMED:
        return _NAMED[word]
    try:
        return chr(int(word[1:], 16)) if word[0] == "u" else match[0]
    except (ValueError, OverflowError):  # not hexadecimal, or not a character
        return match[0]
