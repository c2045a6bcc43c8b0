"""Names of functions, by a GDB without a process; the target has been released before."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

from gdbleak.debugger.program import GdbProgram
from gdbleak.debugger.symbol_reader import FileQuestion, Process, SymbolReader, VariableQuestion
from gdbleak.elf.image import DEBUG_FILES
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.report.model import Frame
from gdbleak.target.owners import Owner, owner_of_file
from gdbleak.text.rust_names import unescape

TIMEOUT_S = 120
"""How long one `resolve` may take, for all modules together."""

FAILURES = 3
"""After so many modules over which GDB has died or stood still, the others stay without names."""


class Declaration(NamedTuple):
    """A variable, as GDB knows it."""

    name: str
    offset: int
    file: str | None
    line: int | None


_Request = tuple[Module, FileQuestion]
_Answer = dict[str, Any]


def locate(address: int, modules: ModuleMap) -> Frame:
    """Return the frame at a return address, without a name."""
    module = modules.find(address - 1)
    return Frame(address, module.shown_path, address - module.bias) if module else Frame(address)


class Symbolizer:
    """Names the functions at return addresses; `notes` has a sentence where it could not."""

    def __init__(self, gdb: GdbProgram, modules: ModuleMap, owner: Owner | None = None) -> None:
        """Prepare.

        Args:
            gdb: The program that reads symbols.
            modules: The modules of the process.
            owner: The user of the process, if not ours; without it, GDB runs as the owner of each
                file.

        """
        self._owner = owner
        self.notes: list[str] = []
        self._gdb = gdb
        self._modules = modules
        self._process: Process | None = None
        self._lock = Lock()
        self._cancelled = False

    def cancel(self) -> None:
        """Make a `resolve` in another thread, and every later one, end at once."""
        with self._lock:
            self._cancelled = True
            if self._process and self._process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def resolve(self, addresses: Iterable[int]) -> dict[int, tuple[Frame, ...]]:
        """Return the frames at each run-time return address.

        The innermost inlined function is the first, the function that holds the address the
        last. Whatever becomes of GDB, every address has at least one frame.
        """
        resolved: dict[int, tuple[Frame, ...]] = {}
        wanted: dict[Module, list[Frame]] = defaultdict(list)
        for address in set(addresses):
            frame = locate(address, self._modules)
            resolved[address] = (frame,)
            module = self._modules.find(address - 1)
            if module is not None and module.file is not None:
                wanted[module].append(frame)

        # A return address is behind the call, and may already belong to the next line.
        requests = [
            (module, FileQuestion(module.file or "", [f.address - 1 - module.bias for f in frames]))
            for module, frames in wanted.items()
        ]
        failed: dict[str, list[str]] = defaultdict(list)
        incomplete: dict[str, list[str]] = defaultdict(list)
        for (module, _), answer in self._ask(requests):
            if "error" in answer:
                failed[answer["error"]].append(module.path)
                continue
            if answer.get("problem"):
                incomplete[answer["problem"]].append(module.path)
            for frame, functions in zip(wanted[module], answer["functions"]):
                resolved[frame.address] = _name(frame, functions)
        self._note("Functions in {} have no names: {}.", failed)
        self._note("Some files and lines in {} are unknown: {}.", incomplete)
        return resolved

    def resolve_variables(
        self, asked: dict[Module, list[VariableQuestion]]
    ) -> dict[Module, list[Declaration | None]]:
        """Return what GDB knows of variables, for each module that it could read.

        A name is as it stands in the source; the number of bytes tells how far in the variable the
        address is; file and line are those of its declaration.
        """
        found: dict[Module, list[Declaration | None]] = {}
        requests = [
            (module, FileQuestion(module.file, (), variables))
            for module, variables in asked.items()
            if module.file is not None
        ]
        for (module, _), answer in self._ask(requests):
            if len(answer.get("variables", ())) == len(asked[module]):
                found[module] = [one and Declaration(*one) for one in answer["variables"]]
        return found

    def _note(self, sentence: str, paths_by_reason: dict[str, list[str]]) -> None:
        for reason, paths in paths_by_reason.items():
            where = ", ".join(paths) if len(paths) <= 3 else f"{len(paths)} modules"
            self.notes.append(sentence.format(where, reason.rstrip(".")))

    def _ask(self, requests: Iterable[_Request]) -> Iterator[tuple[_Request, _Answer]]:
        """Pair each request with its answer.

        The program, which lies below its libraries and takes longest, comes last: time may run out.
        """
        deadline = time.monotonic() + TIMEOUT_S
        requests = sorted(requests, key=lambda request: request[0].start, reverse=True)
        by_owner: dict[Owner | None, list[_Request]] = defaultdict(list)
        for request in requests:
            by_owner[self._owner or owner_of_file(request[0].file or "")].append(request)
        for owner, own in by_owner.items():
            yield from self._ask_as(owner, own, deadline)

    def _ask_as(
        self, owner: Owner | None, requests: Sequence[_Request], deadline: float
    ) -> Iterator[tuple[_Request, _Answer]]:
        """Pair requests with answers; after a module that kills GDB, start a new one.

        After some such modules the others are not tried.
        """
        failures = 0
        failure = _timed_out()
        while requests and failures < FAILURES and (left_s := deadline - time.monotonic()) > 0:
            answers, failure = self._run_gdb(requests, left_s, owner)
            yield from zip(requests, answers)
            unanswered = requests[len(answers) :]
            failures += bool(unanswered)
            yield from ((request, {"error": failure}) for request in unanswered[:1])
            requests = unanswered[1:]
        yield from ((request, {"error": failure}) for request in requests)

    def _run_gdb(
        self, requests: Sequence[_Request], left_s: float, owner: Owner | None
    ) -> tuple[list[_Answer], str]:
        """Run GDB once; return the answers that it gave, and why there are not more."""
        question = [asked for _, asked in requests]
        debug_files = [path for module, _ in requests if (path := _debug_file(module))]
        reader = SymbolReader(self._gdb, question, left_s, debug_files, self._start)
        return reader.run(owner)

    def _start(self, start: Callable[[], Process]) -> Process | None:
        with self._lock:
            if not self._cancelled:
                self._process = start()
            return None if self._cancelled else self._process


def _debug_file(module: Module) -> str | None:
    """Return where the separate debug file of a module would be installed, if it has a build-id."""
    build_id = module.build_id or ""
    return str(DEBUG_FILES / build_id[:2] / f"{build_id[2:]}.debug") if build_id else None


def _name(
    frame: Frame, functions: Sequence[tuple[str | None, str | None, int | None]]
) -> tuple[Frame, ...]:
    """Return a copy of the frame for each function; all but the last are inlined."""
    last = len(functions) - 1
    return tuple(
        replace(
            frame,
            function=function and unescape(function),
            file=file,
            line=line,
            inlined=index < last,
        )
        for index, (function, file, line) in enumerate(functions)
    )


def _timed_out() -> str:
    return f"GDB had not read them after {TIMEOUT_S} s"
