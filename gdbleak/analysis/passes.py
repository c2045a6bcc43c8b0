"""From a recording to a report, pass by pass: each takes what those before it have made. Pure."""

from __future__ import annotations

from gdbleak.analysis.assemble import assemble
from gdbleak.analysis.callers import Wrappers
from gdbleak.analysis.collect import Collected, collect
from gdbleak.analysis.estimates import estimate_sites
from gdbleak.analysis.grouping import regroup
from gdbleak.analysis.heap_levels import find_levels
from gdbleak.analysis.holders import RootNamer, find_holders
from gdbleak.analysis.options import ReportOptions
from gdbleak.analysis.sites import Resolver, SiteMaker
from gdbleak.analysis.sums import add_up
from gdbleak.elf.cache import ImageCache
from gdbleak.ledger.blocks import FILE_MAPPING, HEAP, MAPPING
from gdbleak.recording.end import UNFINISHED
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.reader import Recording, reading
from gdbleak.report.model import Report
from gdbleak.report.suppressions import suppress

_GLIBC = "glibc"
"""How the names of glibc's allocator begin."""


def analyse(
    recording: Recording,
    modules: ModuleMap,
    options: ReportOptions,
    resolve: Resolver,
    images: ImageCache | None = None,
    name_roots: RootNamer | None = None,
) -> Report:
    """Return the report of a recording.

    Args:
        recording: Of a window that has ended, or of one up to where it stands.
        modules: What the process had mapped, with the files to unwind through.
        options: What the report is about.
        resolve: Turns return addresses into frames.
        images: Keeps the files that earlier stages have read.
        name_roots: Names what holds blocks; without it that is named by its file and offset.

    Raises:
        RecordingError: the recording is damaged.

    """
    with reading(recording.path):
        collected = collect(recording, modules, options, images or ImageCache())
        frames_of = resolve({at for key in collected.tallies for at in key.stack.addresses})
        wrappers = Wrappers(options.skip, options.skip_modules)
        estimates = estimate_sites(recording, collected, collected.tallies)
        tallies, labels, members = regroup(collected.tallies, options.by, frames_of, wrappers)
        if labels:
            of_rows = estimate_sites(recording, collected, tallies)
            estimates = add_up(of_rows, estimates, members)
        levels = find_levels(recording, collected, tallies, estimates)
        maker = SiteMaker(
            options.sort,
            wrappers,
            frames_of,
            labels,
            collected.span.window_ns / 1e9,
            collected.span.end_ns,
            collected.older_frees,
            options.listed_blocks,
            never_freed=estimates.sampling.never_freed if estimates.sampling else 0.0,
            one_of=estimates.one_of,
            references=(recording.end or UNFINISHED).references,
            doubtful_kinds=_find_doubtful_kinds(recording, collected),
            speed=estimates.speed,
            holders=find_holders(tallies, collected.held, modules, name_roots),
            levels=levels,
        )
        sites = maker.make(tallies, estimates.of_sites)
        report = assemble(recording, collected, estimates, sites, levels, options.older_ms)
        return suppress(report, options.suppressions)


def _find_doubtful_kinds(recording: Recording, collected: Collected) -> tuple[str, ...]:
    """Return the kinds of blocks of which some may have been freed unseen.

    Nothing refers to those either. Blocks of glibc are told apart from them by its free lists and
    by what stands before each block; those of other allocators are not.
    """
    if not collected.misses_frees:
        return ()
    allocators = recording.find_allocators(collected.called)
    if all(name.startswith(_GLIBC) for name in allocators):
        return (MAPPING, FILE_MAPPING)
    return (HEAP, MAPPING, FILE_MAPPING)
