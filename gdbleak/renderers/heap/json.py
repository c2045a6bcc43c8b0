"""The whole report of a heap for other programs: schema `gdbleak.heap/1`, see docs/heap-report.md.

It is what --save writes, and what `gdbleak diff` reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

from gdbleak.report.heap import (
    SCHEMA,
    AllocatorUse,
    Arena,
    HeapReport,
    Lost,
    LostTree,
    MappingUse,
    Pin,
    SizeClass,
)
from gdbleak.report.heap_findings import find_facts


def as_json(report: HeapReport) -> str:
    """Return everything as one JSON object, with whole names; in ASCII, so safe to print."""
    record = {
        "schema": SCHEMA,
        "pid": report.pid,
        "command": report.command,
        "core": report.core,
        "taken_at": report.taken_at,
        "taking": asdict(report.taking),
        "libc": report.libc,
        "findings": [
            {"text": finding.text, "command": finding.command} for finding in find_facts(report)
        ],
        "resident_bytes": report.resident_bytes,
        "in_use": asdict(report.in_use),
        "mmapped": asdict(report.mmapped),
        "sizes": _sizes(report.sizes),
        "arenas": list(map(_arena, report.arenas)),
        "mappings": list(map(_mapping, report.mappings)),
        "allocators": list(map(_allocator, report.allocators)),
        "lost": report.lost and _lost(report.lost),
        "notes": report.notes,
    }
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def _sizes(sizes: Iterable[SizeClass]) -> list[dict[str, object]]:
    return [{**asdict(size), "growth": _growth(size)} for size in sizes]


def _growth(size: SizeClass) -> dict[str, object] | None:
    growth = size.growth
    if growth is None:
        return None
    return {
        "count_per_s": growth.count.slope,
        "count_steadiness": growth.count.steadiness,
        "bytes_per_s": growth.bytes.slope,
        "bytes_steadiness": growth.bytes.steadiness,
        "history": growth.history,
    }


def _arena(arena: Arena) -> dict[str, object]:
    return {
        "number": arena.number,
        "address": hex(arena.address),
        "threads": arena.threads,
        "heaps": [{"start": hex(start), "end": hex(end)} for start, end in arena.heaps],
        "system_bytes": arena.system_bytes,
        "resident_bytes": arena.resident_bytes,
        "in_use": asdict(arena.in_use),
        "free": [{"where": str(where), **asdict(free)} for where, free in arena.free.items()],
        "trimmable_bytes": arena.trimmable_bytes,
        "pin": arena.pin and _pin(arena.pin),
    }


def _pin(pin: Pin) -> dict[str, object]:
    return {**asdict(pin), "address": hex(pin.address)}


def _mapping(mapping: MappingUse) -> dict[str, object]:
    return {**asdict(mapping), "start": hex(mapping.start), "end": hex(mapping.end)}


def _allocator(allocator: AllocatorUse) -> dict[str, object]:
    return {**asdict(allocator), "sizes": _sizes(allocator.sizes)}


def _lost(lost: Lost) -> dict[str, object]:
    return {
        **asdict(lost),
        "trees": list(map(_tree, lost.trees)),
        "mappings": list(map(_mapping, lost.mappings)),
    }


def _tree(tree: LostTree) -> dict[str, object]:
    return {**asdict(tree), "address": hex(tree.address)}
