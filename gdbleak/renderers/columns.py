"""What tables of text share: their columns, and a last column that makes room for the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal, NamedTuple

from gdbleak.text.lines import fold

NARROWEST = 80
"""How many characters wide tables for a terminal are at least: numbers are never cut."""

GAP = 2
"""How many blanks lie between columns."""


class Column(NamedTuple):
    """A column of a table."""

    header: str
    align: Literal["left", "right"]


def numbers(*headers: str) -> tuple[Column, ...]:
    """Return columns that are aligned to the right."""
    return tuple(Column(header, "right") for header in headers)


def words(*headers: str) -> tuple[Column, ...]:
    """Return columns that are aligned to the left."""
    return tuple(Column(header, "left") for header in headers)


def headers_of(columns: Iterable[Column]) -> list[str]:
    """Return what stands above each column."""
    return [column.header for column in columns]


def room_for_last(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int) -> int:
    """Return how many characters the other columns leave to the last one, 0 or less for none.

    Args:
        columns: All columns.
        rows: Rows with a cell for each column.
        width: Width of the whole table, in characters.

    """
    others = [*zip(headers_of(columns), *rows)][:-1]
    return width - sum(max(map(len, cells)) + GAP for cells in others)


def fold_last(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int
) -> list[list[str]]:
    """Return the rows with the last cell of each folded into what the others leave of a width."""
    room = room_for_last(columns, rows, width)
    return [[*cells, fold(last, room)] for *cells, last in rows]


def draw_columns(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with lines of hyphens below its headers, without an end of its last line."""
    headers = headers_of(columns)
    marks = ["-" * len(header) for header in headers]
    # The headers go in as rows: tabulate makes every column of a header two wider than it.
    return draw_table(columns, chain([headers, marks], rows), "plain", headers=())


def draw_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    form: str,
    headers: Sequence[str] | None = None,
) -> str:
    """Return a table in one of tabulate's formats.

    Args:
        columns: All columns.
        rows: Rows with a cell for each column; cells are never reformatted as numbers.
        form: Name of the format.
        headers: Used instead of those of the columns.

    """
    from tabulate import tabulate  # takes a tenth of a second to load

    return tabulate(
        rows,
        headers=headers_of(columns) if headers is None else headers,
        tablefmt=form,
        colalign=[column.align for column in columns],
        disable_numparse=True,
    )
