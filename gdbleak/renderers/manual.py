"""The manual page, made from the parser of the command line: nothing in it is written twice. Pure.

Source: man(7) and groff_char(7).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator


def make_manual(parser: argparse.ArgumentParser, version: str) -> str:
    """Return the page as the source of `man`.

    Args:
        parser: Of the whole command line; its epilog has sections that begin with `TITLE:`.
        version: Of gdbleak.

    """
    commands = _find_commands(parser)
    summaries = {each.dest: each.help or "" for each in commands._choices_actions}
    lines = [
        '.\\" Made by `make man` from the parser of the command line.',
        f'.TH GDBLEAK 1 "" "gdbleak {version}" "User Commands"',
        ".SH NAME",
        "gdbleak \\- find the call stacks that leak memory in a running process",
        ".SH SYNOPSIS",
        *_synopsis([["[trace]", "PID|NAME", "..."], ["-c", "COMMAND"]]),
        *_synopsis([[name, *_operands(each)] for name, each in commands.choices.items()]),
        ".SH DESCRIPTION",
        *_paragraphs(parser.description or ""),
        ".SH OPTIONS",
        *_options(_options_of(parser)),
        ".SH COMMANDS",
    ]
    known: dict[tuple[object, ...], str] = {}
    for name, each in commands.choices.items():
        lines += [f".SS {name}", *_paragraphs(summaries[name].capitalize() + ".")]
        lines += ["", *_paragraphs(each.description or ""), *_describe(name, each, known)]
    for title, text in _sections(parser.epilog or ""):
        lines += [f".SH {title.upper()}", ".nf", *(_escape(line) for line in text), ".fi"]
    lines += [".SH SEE ALSO", ".BR gdb (1),", ".BR ptrace (2),", ".BR proc (5)"]
    return "\n".join(lines) + "\n"


def _find_commands(
    parser: argparse.ArgumentParser,
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    return next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction))


def _options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [each for each in parser._actions if each.option_strings]


def _operands(parser: argparse.ArgumentParser) -> list[str]:
    """Return what stands behind a command."""
    operands = [
        f"[{_metavar(each)}]" if each.nargs in ("?", "*") else _metavar(each)
        for each in parser._actions
        if not each.option_strings
    ]
    return ["[OPTIONS]", *operands]


def _metavar(action: argparse.Action) -> str:
    if action.metavar is None and action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def _synopsis(commands: Iterable[list[str]]) -> Iterator[str]:
    for words in commands:
        yield ".br"
        yield f".B gdbleak {_escape(words[0])}"
        if words[1:]:
            yield f".I {_escape(' '.join(words[1:]))}"


def _describe(
    name: str, parser: argparse.ArgumentParser, known: dict[tuple[object, ...], str]
) -> Iterator[str]:
    """Yield the operands and options of a command; those of an earlier one by their names."""
    new: list[argparse.Action] = []
    old: dict[str, list[str]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        key = (*action.option_strings, action.dest, _help(action))
        if key in known:
            names = action.option_strings or [_metavar(action)]
            old.setdefault(known[key], []).append(names[-1])
        else:
            known[key] = name
            new.append(action)
    yield from _options(new)
    for command, named in old.items():
        yield ".PP"
        yield _escape(f"As for {command}: {', '.join(named)}.")


def _options(actions: Iterable[argparse.Action]) -> Iterator[str]:
    for action in actions:
        value = "" if action.nargs == 0 else _metavar(action)
        yield ".TP"
        if action.option_strings:
            words = ", ".join(action.option_strings)
            yield f".BI {_quote(words + ' ' if value else words)} {_quote(value)}".rstrip(' "')
        else:
            yield f".I {_escape(value)}"
        yield _escape(_help(action))


def _help(action: argparse.Action) -> str:
    return (action.help or "") % {**vars(action), "prog": "gdbleak"}


def _paragraphs(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n")):
        if number:
            yield ".br"
        yield _escape(line)


def _sections(epilog: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the sections of a text whose titles end with a colon and are not indented."""
    title, lines = "", list[str]()
    for line in [*epilog.splitlines(), "end:"]:
        if line.endswith(":") and not line.startswith(" "):
            if title:
                yield title, lines
            title, lines = line[:-1], []
        elif line:
            lines.append(line)


def _quote(text: str) -> str:
    return '"' + _escape(text).replace('"', "\\(dq") + '"'


def _escape(text: str) -> str:
    """Return text in which nothing is a command of roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text
