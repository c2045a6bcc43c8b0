"""Find the call stacks that leak memory in a running native Linux process.

>>> import gdbleak
>>> report = gdbleak.trace(4711, duration_s=30)
>>> report.leaking[0].caller.function
'fibonacci'
"""

from __future__ import annotations

from gdbleak.api import ReportOptions, load, trace
from gdbleak.errors import GdbleakError
from gdbleak.report import Frame, Report, Site

__all__ = ["Frame", "GdbleakError", "Report", "ReportOptions", "Site", "load", "trace"]
__version__ = "0.1.0"
