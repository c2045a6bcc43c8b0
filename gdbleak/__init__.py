"""Find the call stacks that leak memory in a running native Linux process.

>>> import gdbleak
>>> report = gdbleak.trace(4711, duration_s=30)
>>> report.leaking[0].caller.function
'fibonacci'
"""

from __future__ import annotations

TYPE_CHECKING = False
"""As of `typing`, which takes long to import."""

__all__ = [
    "Frame",
    "GdbleakError",
    "Report",
    "ReportOptions",
    "Search",
    "Site",
    "examine",
    "find_suspects",
    "load",
    "trace",
]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from gdbleak.api import ReportOptions, examine, load, trace
    from gdbleak.errors import GdbleakError
    from gdbleak.report.model import Frame, Report, Site
    from gdbleak.survey.search import Search, find_suspects
else:

    def __dir__():
        return sorted([*globals(), *__all__])

    def __getattr__(name):
        """Import what is asked for: all of it takes longer than many commands run."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from gdbleak import api, errors
        from gdbleak.report import model as report
        from gdbleak.survey import search

        homes = api, errors, report, search
        return next(vars(home)[name] for home in homes if name in vars(home))
