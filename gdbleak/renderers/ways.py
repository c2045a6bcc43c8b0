"""What `gdbleak why` shows: text for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby

from gdbleak.renderers.columns import NARROWEST
from gdbleak.report.ways import Answer, Holder, Way
from gdbleak.text.lines import fold, printable
from gdbleak.text.units import count_of, format_bytes, format_seconds, plural

SCHEMA = "gdbleak.why/1"

_NOBODY = (
    "Nothing refers to it, as far as memory tells: a register of a thread that runs, the kernel, or"
    " a pointer that is packed or encoded may. See docs/references.md."
)
_UNKNOWN = (
    "No bounds of blocks could be told: what refers to the bytes just before a word counts, so a"
    " holder may be another block's."
)
_FEW = 3
"""So many blocks of the same kind in a row are shown; of more, the first and the last."""


def as_json(answer: Answer) -> str:
    """Return everything, as one JSON object; addresses are numbers."""
    return json.dumps({"schema": SCHEMA, **asdict(answer)}, indent=2) + "\n"


def as_text(answer: Answer, width: int | None) -> str:
    """Return a line for each step of each way, and sentences about the search.

    Args:
        answer: What was found.
        width: Characters of a line of the terminal; None if lines may have any length.

    """
    lines = [*_lines(answer)]
    if width:
        lines = [fold(line, max(width, NARROWEST), 4) for line in lines]
    return "\n".join(lines) + "\n"


def _lines(answer: Answer) -> Iterator[str]:
    for number, way in enumerate(answer.ways):
        if number:
            yield ""
        yield _describe_block(answer)
        yield from _describe_way(way)
    if not answer.ways:
        yield _describe_block(answer)
        if answer.blocks:
            yield (
                f"No root was found: {count_of(answer.blocks, 'block')}"
                f" {'leads' if answer.blocks == 1 else 'lead'} to it, and nothing else refers to"
                f" {'that' if answer.blocks == 1 else 'these'}."
                if not answer.ended
                else f"No root was found so far; {count_of(answer.blocks, 'block')} lead to it."
            )
        elif not answer.ended:
            yield _NOBODY
    yield ""
    yield from _say(answer)


def _describe_block(answer: Answer) -> str:
    if not answer.is_known:
        return f"{answer.address:#x}: a block whose bounds are unknown"
    size = f"{answer.block_bytes:,} {plural(answer.block_bytes, 'byte')}"
    inside = answer.address - answer.block
    within = f", and {answer.address:#x} is {inside:,} bytes into it" if inside else ""
    return f"{answer.block:#x}: {size} in use{within}"


def _describe_way(way: Way) -> Iterator[str]:
    *blocks, root = way.holders
    # Of a long list, all nodes but the ends look alike.
    for _, group in groupby(blocks, lambda holder: (holder.block_bytes, holder.offset)):
        alike = list(group)
        if len(alike) <= _FEW:
            yield from map(_describe_holder, alike)
            continue
        yield _describe_holder(alike[0])
        yield f"  and so on, through {len(alike) - 2:,} more such blocks, each held by the next"
        yield _describe_holder(alike[-1])
    yield _describe_holder(root)


def _describe_holder(holder: Holder) -> str:
    if holder.root is None:
        size = holder.block_bytes
        what = "anonymous memory" if size is None else f"block of {size:,} {plural(size, 'byte')}"
        offset = f"+{holder.offset:,}" if holder.offset else ""
        return f"  is held by {holder.block:#x}{offset}: {what}"
    text = printable(holder.root)
    if holder.module is None and holder.place:
        return f"  is held by {text} in {printable(holder.place)}"
    where = ", ".join(printable(part) for part in (holder.module, holder.place) if part)
    return f"  is held by {text} ({where})" if where else f"  is held by {text}"


def _say(answer: Answer) -> Iterator[str]:
    known = all(h.block is None or h.block_bytes for way in answer.ways for h in way.holders)
    if not known or not answer.is_known:
        yield _UNKNOWN
    if answer.roots > len(answer.ways):
        yield f"{count_of(answer.roots, 'root')} found, {len(answer.ways):,} shown."
    yield from map(printable, answer.notes)
    took = format_seconds(answer.took_s)
    read = f"{format_bytes(answer.scanned_bytes)} were searched in {took}"
    if not answer.is_core:
        read += "; nothing was stopped"
    yield f"{read}. It ended early: {answer.ended}." if answer.ended else f"{read}."
