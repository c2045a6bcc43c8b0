"""How the recorder gets into a process: first the ring, then the jumps.

No jump exists before the ring does, and the recorder is off until it is switched on. So the process
lives on in every state in between, whoever is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gdbleak.errors import GdbleakError, InjectionError, NoSuchProcessError
from gdbleak.host.waiting import wait_until
from gdbleak.injection.filters import (
    Able,
    calls_to_map,
    choose_able,
    find_unfiltered,
    list_candidates,
)
from gdbleak.injection.implant import Implant
from gdbleak.injection.removal import PATIENCE_S, Removal, Remover
from gdbleak.injection.restorers import find_restorers
from gdbleak.injection.ring_control import RingControl, Settings
from gdbleak.injection.steps import (
    Step,
    code_ranges,
    expect,
    expect_absent,
    expect_unmapped,
    hijack,
    inside,
    move,
    tell_filters,
    tell_registers,
    write,
)
from gdbleak.injection.visits import Outcome, ThreadState, Visitor
from gdbleak.inline.model import Cave, Image
from gdbleak.inline.ring import DONE, Ring
from gdbleak.safety.journal import Journal
from gdbleak.target.life import start_of_living
from gdbleak.target.proc import Memory, read_mappings

MAP_S = 2.0
"""How long a thread may take to map the ring."""
TRIES = 20
"""How many visits may find the process in a state in which nothing can be done."""
_PAUSE_S = 0.01
_PASSING = ("attach", "absent", "hijack")
"""The steps that another visit may be able to do."""


class Injection:
    """The recorder of one process. A context, in which the memory of the process stays open."""

    def __init__(
        self,
        pid: int,
        image: Image,
        cave: Cave,
        ring: Ring,
        visitor: Visitor,
        journal: Journal | None = None,
        able: Able | None = None,
    ) -> None:
        """Prepare.

        Args:
            pid: The process.
            image: What is written into it.
            cave: Where that goes.
            ring: Where the ring goes.
            visitor: What is written by.
            journal: Where each step is written down before it is done.
            able: The threads that may map the ring, if that was looked at before.

        Raises:
            NoSuchProcessError: the process has ended.
            InjectionError: its memory may not be written to.

        """
        self.pid = pid
        self.implant = Implant(image, cave, ring)
        self.threads: tuple[ThreadState, ...] = ()
        """The threads of the process as the first visit has found them."""
        self.pauses_ms: list[float] = []
        """How long the process stood still in each visit so far."""
        self._visitor = visitor
        self._journal = journal
        self._able = able
        self._proved: Able = {}
        self._started = start_of_living(pid)
        self._is_touched = False
        try:
            program = Path(f"/proc/{pid}/exe").stat()
            self.memory = Memory(pid, writable=True)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise NoSuchProcessError(f"process {pid} has ended meanwhile") from error
        except OSError as error:
            raise InjectionError(f"the memory of process {pid} may not be written to") from error
        self._program = program.st_dev, program.st_ino
        self.ring = RingControl(pid, ring, self.memory)
        self._restorers = find_restorers(read_mappings(pid), self.memory)

    def __enter__(self) -> Injection:
        return self

    def __exit__(self, *_: object) -> None:
        self.memory.close()

    def map_ring(self) -> None:
        """Write the recorder into its cave, and have a thread map the ring.

        Raises:
            InjectionError: it could not be done; everything was taken out again, if need be.
            NoSuchProcessError: the process has ended.

        """
        self._check_lives()
        self._able = self._able or self.find_able()  # before anything is written
        self._note("map")
        try:
            self._visit(self._steps_to_map)
            self._await_ring()
        except GdbleakError:
            self._take_back()
            raise

    def find_able(self) -> Able:
        """Return the threads that may map the ring, and unmap it. Nothing is written.

        The process is visited if each of them is under a seccomp filter.

        Raises:
            InjectionError: none may, as far as that is proved.
            NoSuchProcessError: the process has ended.

        """
        if unfiltered := find_unfiltered(self.pid):
            return unfiltered
        outcome = self._visit(lambda: [tell_filters(list_candidates(self.pid))])
        assert outcome.filters
        able, why = choose_able(outcome.filters, calls_to_map(self.implant))
        if not able:
            raise InjectionError(f"every thread of process {self.pid} is under {why}")
        return able

    def divert(self) -> None:
        """Write the jumps that lead to the recorder, which is off.

        Raises:
            InjectionError: it could not be done; everything was taken out again.
            NoSuchProcessError: the process has ended.

        """
        self._note("divert")
        try:
            self._visit(self._steps_to_divert)
        except GdbleakError:
            self._take_back()
            raise

    def arm(self, settings: Settings) -> None:
        """Have the kernel give the ring its memory, and tell the recorder what it needs to know.

        Raises:
            NoSuchProcessError: the process has ended.

        """
        self.ring.arm(settings)

    def switch(self, on: bool) -> None:
        """Have the recorder record, or not.

        Raises:
            NoSuchProcessError: the process has ended.

        """
        if on:
            self._note("on")
        self.ring.switch(on)

    def remove(self, patience_s: float = PATIENCE_S) -> Removal:
        """Take everything out of the process, and of its children, that is in there.

        Args:
            patience_s: How long to try.

        """
        self._note("remove")
        filtered = {thread: filters for thread, filters in self._proved.items() if filters}
        remover = Remover(self.implant, self._visitor, patience_s, filtered)
        # Another program has another memory.
        is_same = bool(self.memory.read(self.implant.image.address, 1))
        started = self._started if is_same else None
        removal = remover.remove(self.pid, started, self._program)
        if self._journal:
            self._journal.append(
                who="gdbleak", closed=removal.ok, left=[*removal.left], children=removal.children
            )
        return removal

    def _take_back(self) -> None:
        if not self._is_touched:
            if self._journal:
                self._journal.append(who="gdbleak", closed=True)
            return
        removal = self.remove()
        if still := (*removal.left, *removal.kept):
            raise InjectionError(still[0], f"run `gdbleak rescue {self.pid}`")

    def _steps_to_map(self) -> list[Step]:
        implant, image = self.implant, self.implant.image
        place, code = implant.image.address, code_ranges(image)
        stands = self.memory.read(place, len(image.code))
        if implant.is_image(stands):  # written by a visit that found no thread to send there
            steps = [expect(place, stands, implant.kept_words)]
        else:
            steps = [expect(place, implant.original)]
        self._proved = self._able or self.find_able()
        self._able = None  # if this fails, look again
        return [
            *steps,
            *self._expect_originals(),
            tell_registers(),
            # A thread of an earlier visit may not have set out yet.
            expect_absent(code, code, self._restorers),
            expect_unmapped(implant.ring),
            write(place, image.code),
            hijack(image.map_ring, image, self._proved),
        ]

    def _steps_to_divert(self) -> list[Step]:
        implant, jumps = self.implant, self.implant.image.jumps
        return [
            expect(implant.image.address, implant.image.code, implant.kept_words),
            *self._expect_originals(),
            # What a signal has interrupted there would go on in the midst of a jump.
            expect_absent([], [inside(jump) for jump in jumps], self._restorers),
            # Before the jumps: the copies do the same without them.
            move(twin for jump in jumps for twin in jump.twins),
            *(write(jump.address, jump.code) for jump in jumps),
        ]

    def _expect_originals(self) -> list[Step]:
        return [expect(jump.address, jump.original) for jump in self.implant.image.jumps]

    def _visit(self, steps: Callable[[], Sequence[Step]]) -> Outcome:
        """Visit the process until all steps are done.

        Raises:
            InjectionError: they cannot be.
            NoSuchProcessError: the process has ended.

        """
        for tries in range(1, TRIES + 1):
            planned = steps()
            was_touched, self._is_touched = self._is_touched, True  # if GDB does not tell
            outcome = self._visitor.visit(self.pid, planned)
            begun = planned[: outcome.done + 1]
            self._is_touched = was_touched or any(step["do"] == "write" for step in begun)
            self.pauses_ms.append(outcome.pause_ns / 1e6)
            if outcome.threads is not None:
                self.threads = outcome.threads
            if outcome.failed is None:
                return outcome
            self._check_lives()
            if outcome.failed not in _PASSING or tries == TRIES:
                break
            time.sleep(_PAUSE_S)
        where = f" (thread {outcome.where})" if outcome.where else ""
        raise InjectionError(
            f"the recorder cannot be put into process {self.pid}: {outcome.why}{where}"
        )

    def _await_ring(self) -> None:
        """Wait until the ring is there.

        Raises:
            InjectionError: the process does not get it.
            NoSuchProcessError: it has ended.

        """
        if not wait_until(self._has_ring, MAP_S):
            raise InjectionError(
                f"process {self.pid} did not get {self.implant.ring.size >> 20} MB of memory for"
                " the recorder"
            )

    def _has_ring(self) -> bool:
        if self.ring.read_mapped() & DONE:
            return True
        self._check_lives()
        return False

    def _check_lives(self) -> None:
        if self._started is None or start_of_living(self.pid) != self._started:
            raise NoSuchProcessError(f"process {self.pid} has ended meanwhile")
        if not self.memory.read(self.implant.image.address, 1):
            raise NoSuchProcessError(f"process {self.pid} runs another program by now")

    def _note(self, step: str) -> None:
        if self._journal:
            self._journal.append(who="gdbleak", step=step)
