"""What a window needs on a process of this machine that records itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gdbleak.capture.backend import After
from gdbleak.capture.inline_hold import InlineHold
from gdbleak.capture.inline_observer import InlineObserver
from gdbleak.capture.inline_recorder import InlineRecorder
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits
from gdbleak.capture.notebook import Notebook
from gdbleak.debugger.program import GdbProgram
from gdbleak.injection.implant import Implant
from gdbleak.injection.injection import Injection
from gdbleak.injection.visits import GdbVisitor
from gdbleak.inline.reader import RingReader
from gdbleak.recording.end import Inline
from gdbleak.recording.probes import Probe
from gdbleak.safety.proof import LocalProof
from gdbleak.target.live import LiveProcess
from gdbleak.target.proc import memory_status, resident_set
from gdbleak.target.process import Target
from gdbleak.target.shared_memory import check_sharers


class InlineBackend:
    """The `Backend` of a process that records itself."""

    def __init__(
        self,
        gdb: GdbProgram,
        source: LiveProcess,
        target: Target,
        implant: Implant,
        probes: tuple[Probe, ...],
        folder: Path,
        recording: Path,
        limits: Limits,
        notebook: Notebook,
    ) -> None:
        """Prepare.

        Args:
            gdb: The debugger to use.
            source: The process, as it is read.
            target: What it was before.
            implant: What is put into it.
            probes: Those of the recording, one for each site of the image, in the same order.
            folder: A private folder for files of the debugger.
            recording: A file that holds the head already.
            limits: What ends the window.
            notebook: Adds to the recording.

        """
        self._gdb = gdb
        self._source = source
        self._target = target
        self._implant = implant
        self._probes = probes
        self._folder = folder
        self._recording = recording
        self._limits = limits
        self._notebook = notebook
