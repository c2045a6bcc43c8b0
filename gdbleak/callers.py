"""Which frame of a stack a person would name: the first that is not a wrapper around malloc."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gdbleak.report import Frame

_WRAPPERS = re.compile(
    r"""
      operator\ (new|delete)(\[\])?\b
    | (std|__gnu_cxx)::
    | (x|g_|je_|tc_|__libc_|__|PyMem_(Raw)?|PyObject_|_PyMem_(Raw)?|_PyObject_|CRYPTO_|av_)
      (try_)?(malloc|calloc|realloc|reallocarray|memalign|Malloc|Calloc|Realloc|zalloc)
      (0|_n|0_n|z)?\b
    | (__|x|g_|ks)?(strdup|strndup|memdup|memdup2)\b
    | (__)?(v?asprintf|getline|getdelim|realpath|open_memstream)(_chk|_internal)?\b
    """,
    re.VERBOSE,
)


def find_caller(frames: Iterable[Frame]) -> Frame | None:
    """Return the innermost frame that is not a wrapper; the innermost if all are; None of none."""
    frames = list(frames)
    for frame in frames:
        # glibc's own debug information calls its functions by their internal names.
        if frame.function is None or not _WRAPPERS.match(frame.function.removeprefix("__GI_")):
            return frame
    return frames[0] if frames else None
