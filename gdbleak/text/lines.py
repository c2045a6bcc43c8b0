"""Text that comes from a target, made safe to show, and folded to a width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

_WORDS = re.compile(r"(?<= )(?! )")
_PARTS = re.compile(r"(?<=[,>/])|(?<=<)(?!\.\.\.>)|(?=<\.\.\.>)|(?<=::)(?<!std::)|(?=\(|\+0x)")
"""Where a word may be broken that is longer than a line: demangled names are long."""


def printable(text: str) -> str:
    r"""Return the text with everything that is not a visible character escaped.

    That covers terminal escapes, newlines, C1 controls, characters that reorder or hide
    others (bidirectional overrides, zero-width ones), and the lone surrogates that stand for
    undecodable bytes.

    >>> printable("evil\x1b[2J")
    'evil\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cut(text: str, limit: int) -> str:
    """Return the text, without its middle if it has more characters than the limit.

    >>> cut("std::map<std::string, int>::insert", 20)
    'std::map<...::insert'
    """
    if len(text) <= limit:
        return text
    tail = (limit - 3) // 2
    return f"{text[: limit - 3 - tail]}...{text[-tail:]}"


def fold(text: str, width: int, indent: int = 0) -> str:
    """Return the text broken into lines of a width, all but the first of them indented.

    >>> print(fold("std::vector<int>::push_back(int const&)", 24, indent=2))
    std::vector<int>::
      push_back(int const&)
    """
    width = max(width, indent + 8)  # something must fit beside the indent
    lines = [""]
    for piece in _pieces(text, width - indent):
        if lines[-1].strip() and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append(" " * indent)
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _pieces(text: str, room: int) -> Iterator[str]:
    """Yield the words of a text, those longer than `room` in parts."""
    for word in _WORDS.split(text):
        parts = [word] if len(word.rstrip()) <= room else _PARTS.split(word)
        for part in parts:
            yield from (part[i : i + room] for i in range(0, len(part), room))


class Line(NamedTuple):
    """A line of a report for people, not folded yet."""

    text: str
    indent: int = 0
    """How many blanks begin each further line when it is folded."""
    style: Literal["plain", "title", "alarm"] = "plain"

    def fold(self, width: int) -> str:
        """Return the text, folded to a width in characters."""
        return fold(self.text, width, self.indent)
