"""What the formats for people show, as plain strings: each of them only lays it out.

Everything that comes from the target leaves here shortened and escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from posixpath import basename

from gdbleak.renderers.summary import summary
from gdbleak.report import Frame, Report, Site
from gdbleak.text import Line, fold, printable, shorten
from gdbleak.units import format_bytes, format_count, format_seconds

COLUMNS = ("#", "Bytes", "Blocks", "Allocs", "Freed", "Bytes/s", "Oldest", "Caller")
"""Headers above the cells of `rows`; all but the last stand above numbers."""

_GAP = "  "
_CELL_LIMIT = 200
_FRAME_LIMIT = 1000


def heading(report: Report) -> Line:
    """Return the line that says what was watched, and for how long."""
    target = report.target
    command = shorten(target.command, _CELL_LIMIT)
    allocator = shorten(target.allocator, _CELL_LIMIT)
    duration = format_seconds(report.window.duration_s)
    pid = f"pid {target.pid}"
    if target.namespace_pid is not None:
        pid += f", {target.namespace_pid} in its container"
    text = f"{command} ({pid}), {allocator}, watched for {duration}"
    return Line(printable(text), style="title")


def rows(sites: Iterable[Site]) -> list[list[str]]:
    """Return the rows of the table of sites, one cell for each of `COLUMNS`."""
    return [[*_numbers(site), _describe_caller(site)] for site in sites]


def fold_callers(rows: list[list[str]], width: int) -> list[list[str]]:
    """Return the rows with the last cell of each folded into what the others leave of a width."""
    columns = list(zip(COLUMNS, *rows))[:-1]
    room = width - sum(max(map(len, column)) + len(_GAP) for column in columns)
    return [[*numbers, fold(caller, room)] for *numbers, caller in rows]


def below_table(report: Report, top: int) -> Iterator[Line]:
    """Yield everything below the table: what it leaves out, stacks, summary, notes."""
    if not report.leaking:
        yield _nothing_outstanding(report)
    elif report.leaking[top:]:
        yield _not_shown(report, top)
    for site in report.leaking[:top]:
        yield Line("")
        yield from _stack(site)
    yield Line("")
    yield from summary(report)


def describe(frame: Frame, gap: str = " ", limit: int | None = None) -> str:
    """Return `function file:line (module)`, or `module+offset` without a symbol.

    The gap stands behind the function; the limit is for the length of each name.
    """

    def show(name: str) -> str:
        return printable(shorten(name, limit) if limit else name)

    module = show(basename(frame.module or ""))
    if not frame.function:
        has_offset = module and frame.offset is not None
        return f"{module}+{frame.offset:#x}" if has_offset else f"{frame.address:#x}"
    place = []
    if frame.file:
        place.append(show(frame.file) + (f":{frame.line}" if frame.line else ""))
    if module:
        place.append(f"({module})")
    if frame.inlined:
        place.append("(inlined)")
    return gap.join(filter(None, (show(frame.function), " ".join(place))))


def _numbers(site: Site) -> list[str]:
    return [
        str(site.rank),
        format_bytes(site.outstanding_bytes),
        format_count(site.outstanding_count),
        format_count(site.allocated_count),
        format_count(site.freed_count),
        format_bytes(site.bytes_per_s),
        "-" if site.oldest_s is None else format_seconds(site.oldest_s),
    ]


def _describe_caller(site: Site) -> str:
    if site.caller is None:
        return "(unknown)"
    caller = replace(site.caller, file=basename(site.caller.file or ""))
    return describe(caller, limit=_CELL_LIMIT)


def _nothing_outstanding(report: Report) -> Line:
    if not report.window.allocations:
        return Line("Nothing was allocated in the window.")
    return Line(
        "No call stack has outstanding blocks: what was allocated in the window was freed in it, "
        "or is left out by --older or a size limit."
    )


def _not_shown(report: Report, top: int) -> Line:
    rest = report.leaking[top:]
    size = format_bytes(sum(site.outstanding_bytes for site in rest))
    stacks = _count(len(rest), "more call stack")
    return Line(f"{stacks} with {size} outstanding: see --top {len(report.leaking)}")


def _stack(site: Site) -> Iterator[Line]:
    size = format_bytes(site.outstanding_bytes)
    blocks = _count(site.outstanding_count, "block")
    yield Line(f"Stack {site.rank}: {size} in {blocks}", style="title")
    for number, frame in enumerate(site.frames):
        text = describe(frame, gap="  ", limit=_FRAME_LIMIT)
        yield Line(f"  {f'#{number}':4}{text}", indent=6)
    if site.truncated:
        yield Line("  ... deeper frames are unknown (see --stack-bytes, --max-frames)", indent=6)
    elif not site.frames:
        yield Line("  (no frame is known)")


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
