"""`gdbleak explain`: what a word of a report means."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from difflib import get_close_matches

from gdbleak.commands.output import choose_output
from gdbleak.errors import UsageError
from gdbleak.renderers.columns import NARROWEST
from gdbleak.text.lines import fold
from gdbleak.verdicts.explanations import EXPLANATIONS

_WIDEST = 100
"""Longer lines are hard to read."""


class _Words(tuple[str, ...]):
    """The words that can be explained, as argparse compares them with what was typed."""

    __slots__ = ()

    def __contains__(self, value: object) -> bool:
        return value == [] or super().__contains__(value)  # it compares an empty list as well


class Explain:
    """Print what words of a report mean."""

    summary = "say what a word of a report means, and what to do about it"
    description = (
        "Print the definition of a verdict, how it is decided, what to do, and when it is wrong. "
        "Without a word, list all of them."
    )
    examples = """\
  gdbleak explain                       list the words
  gdbleak explain leak?
  gdbleak explain too few
  gdbleak explain SAMPLED
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "words",
            nargs="*",
            type=_find_word,
            choices=_Words(EXPLANATIONS),
            metavar="VERDICT",
            help=f"one of {', '.join(EXPLANATIONS)}",
        )

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        medium = choose_output()
        width = min(max(medium.columns, NARROWEST), _WIDEST)
        words = dict.fromkeys(options.words)
        lines = _explain(words, width) if words else _list(width)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return 0


def _find_word(text: str) -> str:
    """Return the word that was meant: in any case, with or without its question mark."""
    wanted = text.lower()
    if wanted in ("too", "few", "too-few"):  # a shell takes the two words apart
        return "too few"
    for same in (str.lower, lambda word: word.lower().rstrip("?")):
        for word in EXPLANATIONS:
            if same(word) == wanted:
                return str(word)
    near = get_close_matches(wanted, EXPLANATIONS)
    advice = " or ".join(f"`gdbleak explain {word}`" for word in near)
    raise UsageError(
        f"{text!r} is not a word of a report", advice or "`gdbleak explain` lists them"
    )


def _list(width: int) -> Iterator[str]:
    column = max(map(len, EXPLANATIONS)) + 2
    for word, explanation in EXPLANATIONS.items():
        yield fold(f"{word:<{column}}{explanation.meaning}", width, column)
    yield ""
    yield "`gdbleak explain VERDICT` says how it is decided, what to do, and when it is wrong."


def _explain(words: dict[str, None], width: int) -> Iterator[str]:
    for number, word in enumerate(words):
        if number:
            yield ""
        meaning, decided, remedy, wrong = EXPLANATIONS[word]
        yield fold(f"{word}: {meaning}", width)
        titles = ("How it is decided", decided), ("What to do", remedy), ("When it is wrong", wrong)
        for title, text in titles:
            yield ""
            yield f"{title}:"
            yield fold(f"  {text}", width, 2)
