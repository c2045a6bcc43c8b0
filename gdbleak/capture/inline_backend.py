"""What a window needs on a process of this machine that records itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from gdbleak.capture.account import Account
from gdbleak.capture.backend import After
from gdbleak.capture.inline_filters import Look
from gdbleak.capture.inline_hold import InlineHold
from gdbleak.capture.inline_observer import InlineObserver
from gdbleak.capture.inline_recorder import InlineRecorder, find_code
from gdbleak.capture.inline_rehearsal import proved_visitor
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.probe import Recorder
from gdbleak.capture.session import Session
from gdbleak.injection.implant import Implant
from gdbleak.injection.injection import Injection
from gdbleak.inline.pace import Pace
from gdbleak.inline.probes import by_site
from gdbleak.inline.reader import Recorded, RingReader
from gdbleak.recording.end import Inline
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.modules import Module
from gdbleak.recording.probes import Probe
from gdbleak.recording.rate import Rate
from gdbleak.safety.journals import open_inline_journal
from gdbleak.safety.proof import LocalProof
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.modules import looking_at
from gdbleak.target.remote_memory import RemoteMemory
from gdbleak.target.shared_memory import check_sharers


class InlineBackend:
    """The `Backend` of a process that records itself."""

    def __init__(
        self,
        session: Session,
        implant: Implant,
        modules: Collection[Module],
        probes: Collection[Probe],
        functions: Collection[AllocatorFunction],
        rate: Rate,
        recording: Path,
        notebook: Notebook,
        look: Look,
        chooses: bool = False,
    ) -> None:
        """Prepare.

        Args:
            session: The process, and what the trace of it has.
            implant: What is put into it.
            modules: The files whose code is written to.
            probes: Those of the recording, one for each site of the image, in the same order.
            functions: Those of the probes.
            rate: How often the process allocates.
            recording: A file that holds the head already.
            notebook: Adds to the recording.
            look: Says which threads may put the recorder in, if there are filters.
            chooses: Whether it records only blocks of some sizes.

        """
        self._session = session
        self._implant = implant
        self._modules = modules
        self._probes = probes
        is_known = not (rate.reason or rate.at_least or chooses)  # it is that of all sizes
        events_per_s = rate.allocations_per_s + rate.frees_per_s if is_known else None
        self._pace = Pace(session.limits.stack_bytes, events_per_s)
        self._allocating = [function.name for function in functions if function.allocates]
        self._recording = recording
        self._notebook = notebook
        self._look = look
        self._chooses = chooses
        image = implant.image
        places = [(image.address, implant.original)]
        places += [(jump.address, jump.original) for jump in image.jumps]
        self.proof = LocalProof(session.target, places, session.source)

    def __enter__(self) -> InlineBackend:
        """Write a journal.

        Raises:
            OpenJournalError: the process is being traced, or an earlier trace has left something.
            WriteError: the journal cannot be written.
            NoSuchProcessError: the process has ended.

        """
        target = self._session.target
        with looking_at(target.pid):
            scratch = read_scratch(target.pid, self._session.source)
        self._journal = open_inline_journal(
            target, self._modules, self._implant.to_json(), scratch, self._session.folder
        )
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the journal, unless there is something to repair."""
        if self._journal.closed or not self._journal.events:
            self._journal.path.unlink(missing_ok=True)

    def _make_reader(self, out: Recorded) -> RingReader:
        image = self._implant.image
        return RingReader(
            self._implant.ring,
            self._memory.read,
            # By what was opened before: another program may run here, or another process.
            self._injection.memory.write,
            by_site(image.sites, self._probes),
            self._allocating,
            out,
            find_code(self._session.target.pid),
            self._find_thread,
            pace=self._pace,
        )

    def _find_thread(self, pointer: int) -> int:
        """Return the id of the thread with a thread pointer; 0 where that is not known."""
        for thread in self._injection.threads:
            if thread.fs_base == pointer:
                return thread.id
        offset = self._hold.facts.thread_id if self._hold.facts else 0
        if not offset:
            return 0
        return int.from_bytes(self._injection.memory.read(pointer + offset, 4), "little")

    @property
    def account(self) -> Account:
        """What is known so far of what was recorded: the recorder itself."""
        return self._recorder

    @contextmanager
    def recorder(self, interruption: Interruption) -> Iterator[Recorder]:
        """Return what reads the ring; all of it was proved on a process of ours.

        Args:
            interruption: Defers signals before anything can happen to the target.

        Raises:
            UnprovedError: GDB failed on a process of ours; the target was not touched.
            ProcessUnusableError: another process shares the memory of the target by now.
            InjectionError: the memory of the target may not be written to.
            KeyboardInterrupt: Ctrl-C came before anything was done.

        """
        session, implant = self._session, self._implant
        pid, max_pause_s = session.target.pid, session.limits.max_pause_ms / 1e3
        with ExitStack() as stack:
            visitor = stack.enter_context(
                proved_visitor(
                    session.gdb,
                    session.folder,
                    max_pause_s,
                    self._journal,
                    chooses=self._chooses,
                )
            )
            check_sharers(pid)  # once more: seconds have passed
            interruption.defer()
            if interruption.reason:
                raise KeyboardInterrupt
            self._injection = stack.enter_context(
                Injection(
                    pid,
                    implant.image,
                    implant.cave,
                    implant.ring,
                    visitor,
                    self._journal,
                    self._look.able,
                )
            )
            self._injection.pauses_ms += self._look.pauses_ms
            self._memory = stack.enter_context(RemoteMemory(pid, self._injection.memory))
            self._recorder = InlineRecorder(
                self._injection,
                self._notebook,
                self._recording.stat().st_size,
                self._make_reader,
                session.limits.max_events,
            )
            stack.callback(self._recorder.close)
            yield self._recorder

    def hold(self) -> InlineHold:
        """Return what puts the recorder in and takes it out."""
        self._hold = InlineHold(self._injection, self._recorder, self._pace)
        return self._hold

    def observe(self) -> InlineObserver:
        """Begin to look at the target, which records itself by now."""
        return InlineObserver(
            self._session.target.pid,
            self._session.source,
            self._implant.image.address,
            self._implant.ring.size,
            self._injection.pauses_ms,
            self._session.limits,
            self._recorder.append,
        )

    def read_after(self, has_exec: bool) -> After:
        """Return what the target holds once everything is out again."""
        return replace(self._session.read_after(has_exec), inline=self._describe())

    def _describe(self) -> Inline:
        implant, removal, counts = self._implant, self._hold.removal, self._recorder.counts
        return Inline(
            lost=counts.missing,
            one_of=1 << counts.level,
            path=implant.cave.path,
            code_bytes=len(implant.image.code),
            functions=sum(not jump.is_pad for jump in implant.image.jumps),
            ring_bytes=implant.ring.size,
            attaches=len(self._injection.pauses_ms),
            children=removal.children if removal else 0,
            left="; ".join((*removal.left, *removal.kept)) or None if removal else None,
        )
