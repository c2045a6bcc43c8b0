"""Repair of what killed traces have left behind: of a recorder here, of breakpoints in `safety`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gdbleak.debugger.program import find_gdb
from gdbleak.errors import GdbleakError
from gdbleak.injection.implant import Implant
from gdbleak.injection.remains import At, Remains, iter_copies, read_remains
from gdbleak.injection.removal import Removal, Remover
from gdbleak.injection.visits import GdbVisitor
from gdbleak.safety import rescue as breakpoints
from gdbleak.safety.journal import Journal
from gdbleak.safety.repair import read_tracer, wake
from gdbleak.safety.rescue import Rescue, is_same_module, is_same_program
from gdbleak.target.life import find_obstacle, start_of_living
from gdbleak.target.proc import Memory

MAX_PAUSE_S = 2.0
"""How long a process may stand still for it."""


def rescue(pid: int | None = None) -> list[Rescue]:
    """Repair the processes that journals name, or the one with a PID.

    Raises:
        WriteError: the folder of journals cannot be trusted.

    """
    return breakpoints.rescue(take_out, pid)


def take_out(journal: Journal, name: str) -> Rescue:
    """Take a recorder out of a process and of its children; remove the journal if nothing is left.

    Args:
        journal: Of the trace that was killed.
        name: How to name the process.

    """
    try:
        implant = Implant.from_json(journal.plan["inline"])
        device, inode = journal.plan["scratch"]["program"]
    except (KeyError, TypeError, ValueError):
        return Rescue(
            f"{journal.path} is damaged and does not say what to repair: look at {name} with"
            f" `gdbleak doctor {journal.plan['pid']}`, then remove the file",
            ok=False,
        )
    return _TakeOut(journal, name, implant, (device, inode)).run()


class _TakeOut:
    """One journal."""

    def __init__(
        self, journal: Journal, name: str, implant: Implant, program: tuple[int, int]
    ) -> None:
        plan = journal.plan
        self._journal = journal
        self._name = name
        self._implant = implant
        self._program = program
        self._pid = plan["pid"]
        self._started = plan["started"]
        self._lives = self._started is not None and start_of_living(self._pid) == self._started
        self._is_same = self._lives and is_same_program(plan)

    def run(self) -> Rescue:
        tracer = read_tracer(self._pid) if self._lives else 0
        if tracer:
            return self._leave(
                f"is traced by process {tracer}: end that first, then run this again"
            )
        obstacle = find_obstacle(self._pid) if self._lives else None
        if obstacle:
            return self._leave(
                f"still holds a recorder, which switches itself off: {obstacle}; restart it when"
                " that suits you"
            )
        woken = self._lives and wake(self._journal.plan)
        before = self._look()
        if before and not all(is_same_module(self._pid, each) for each in self._modules):
            return self._leave("has another file mapped where the recorder was: left alone")
        if before is None and not any(iter_copies(self._program, self._implant, self._pid)):
            return self._end(["nothing to repair"], woken)
        try:
            removal = self._remove()
        except GdbleakError as error:
            return self._leave(f"still holds a recorder: {error}")
        self._journal.append(who="rescue", closed=removal.ok, left=[*removal.left])
        if not removal.ok:
            return self._leave("was not repaired: " + "; ".join(removal.left))
        return self._end(_list_parts(before, removal), woken, removal.kept)

    @property
    def _modules(self) -> list[dict[str, object]]:
        return [*self._journal.plan["modules"]]

    def _look(self) -> Remains | None:
        """Return what is left in the process; None if that is nothing."""
        if not self._is_same:
            return None
        try:
            with Memory(self._pid) as memory:
                remains = read_remains(self._pid, self._implant, memory)
        except OSError:  # it has just ended; if it cannot be read, the visit will say so
            return None
        return None if remains.is_nothing and not remains.strange else remains

    def _remove(self) -> Removal:
        """Take everything out.

        Raises:
            DebuggerError: there is no GDB that could.

        """
        with (
            tempfile.TemporaryDirectory(prefix="gdbleak-") as folder,
            GdbVisitor(find_gdb(), Path(folder), MAX_PAUSE_S) as visitor,
        ):
            visitor.launch()
            started = self._started if self._is_same else None
            return Remover(self._implant, visitor).remove(self._pid, started, self._program)

    def _leave(self, why: str) -> Rescue:
        return Rescue(f"{self._name} {why}", ok=False)

    def _end(self, done: list[str], woken: bool, kept: tuple[str, ...] = ()) -> Rescue:
        self._journal.path.unlink(missing_ok=True)
        if woken:
            done = ["continued it: it was stopped, by the killed trace or by somebody else", *done]
        state = "it is as it was" if self._is_same else "it runs another program by now"
        if not self._lives:
            state = "it has ended"
        if kept:
            state = f"but {'; '.join(kept)}"
        return Rescue(f"{self._name}: {', '.join((*done, state))}")


def _list_parts(before: Remains | None, removal: Removal) -> list[str]:
    """Return in words what was taken out."""
    parts = []
    if before:
        parts += [f"{len(before.jumps)} jumps"] if before.jumps else []
        parts += ["the recorder"] if before.cave is not None else []
        parts += ["its ring"] if before.ring is At.RING and not removal.kept else []
        parts = [f"took out {' and '.join(parts)}"]
    if removal.children:
        parts.append(f"repaired {removal.children} of its children")
    return parts
