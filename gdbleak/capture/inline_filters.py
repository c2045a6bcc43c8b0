"""Whether a target under seccomp filters may record itself: found out before anything begins.

Then a target that may not can still be recorded by breakpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import NamedTuple

from gdbleak.capture.inline_rehearsal import proved_visitor
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.session import Session
from gdbleak.injection.filters import Able, needs_look
from gdbleak.injection.implant import Implant
from gdbleak.injection.injection import Injection
from gdbleak.recording.modules import Module
from gdbleak.safety.journals import open_inline_journal
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.modules import looking_at


class Look(NamedTuple):
    """What was found out."""

    able: Able | None
    """The threads that may map the ring; None if there was no need to look."""
    pauses_ms: tuple[float, ...]
    """How long the target stood still for it."""


def check_filters(session: Session, modules: Iterable[Module], implant: Implant) -> Look:
    """Return the threads of a target that may map the ring, if all of them have filters.

    Then a GDB that was proved attaches, reads the filters, and detaches. Otherwise nothing is done.

    Args:
        session: The trace.
        modules: The files whose code would be written to.
        implant: What would be put into it.

    Raises:
        InlineRefusedError: the filters cannot be read from here.
        InjectionError: they may not permit it.
        NoSuchProcessError: the process has ended.
        UnprovedError: GDB failed on a process of ours; the target was not touched.
        DebuggerFailedError: GDB failed; the target was let go.
        KeyboardInterrupt: Ctrl-C came.

    """
    target, pid = session.target, session.target.pid
    if not needs_look(pid):
        return Look(None, ())
    own = session.folder / "filters"
    own.mkdir()
    with looking_at(pid):
        scratch = read_scratch(pid, session.source)
    journal = open_inline_journal(target, modules, implant.to_json(), scratch)
    with ExitStack() as stack:
        # Nothing is written into the process: whatever comes, there will be nothing to repair.
        stack.callback(journal.path.unlink, missing_ok=True)
        interruption = stack.enter_context(Interruption())
        max_pause_s = session.limits.max_pause_ms / 1e3
        visitor = stack.enter_context(proved_visitor(session.gdb, own, max_pause_s, journal))
        interruption.defer()
        with Injection(pid, implant.image, implant.cave, implant.ring, visitor) as injection:
            look = Look(injection.find_able(), tuple(injection.pauses_ms))
        if interruption.reason:
            raise KeyboardInterrupt
        return look
