"""As much of GDB's Python module as the agent uses; it notes everything that is asked of it."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any


class MemoryError(Exception):  # noqa: A001 - GDB's name
    """An address outside the mapping."""


class FakeThread:
    """A thread of it."""

    def __init__(self, number: int, is_stopped: bool = True) -> None:
        self.ptid = (4242, number, 0)
        self.is_stopped = lambda: is_stopped


class FakeGdb(types.ModuleType):
    """A `gdb` module with one process, of one mapping."""

    def __init__(self) -> None:
        super().__init__("gdb")
        self.COMMAND_USER = 13
        self.MemoryError = MemoryError
        self.calls: list[str] = []
        """Everything that would change GDB or say something."""
        self.breakpoints: list[_Breakpoint] = []
        self.commands: dict[str, _Command] = {}
        self.registers: dict[str, int] = {}
        self.thread = 0
        self.threads_held: list[FakeThread] = []
        self.mapping = (0, b"")
        """Address and contents."""
        self.fail: Callable[[str], None] = lambda _: None
        """Called with the name of what is asked of GDB; may raise."""
        fake = self

        class Breakpoint(_Breakpoint):
            gdb = fake

        class Command(_Command):
            gdb = fake

        self.Breakpoint, self.Command = Breakpoint, Command

    def parse_and_eval(self, expression: str) -> int:
        self.fail("parse_and_eval")
        prefix = "(unsigned long)$"
        assert expression.startswith(prefix)
        return self.registers[expression[len(prefix) :]]

    def selected_thread(self) -> types.SimpleNamespace:
        self.fail("selected_thread")
        return types.SimpleNamespace(ptid=(4242, self.thread, 0))

    def selected_inferior(self) -> FakeGdb:
        self.calls.append("selected_inferior")
        return self

    def read_memory(self, address: int, size: int) -> memoryview:
        self.fail("read_memory")
        begin, contents = self.mapping
        if not begin <= address <= address + size <= begin + len(contents):
            raise MemoryError(f"Cannot access memory at address {address:#x}")
        return memoryview(contents)[address - begin : address - begin + size]

    def execute(self, command: str, from_tty: bool = False, to_string: bool = False) -> str:
        del from_tty
        if command in ("continue &", "quit"):
            assert not to_string, "GDB 18 loses the record that tells of its end"
        else:
            assert to_string, f"the output of `{command}` would go to the controller"
        self.calls.append(command)
        return ""

    def threads(self) -> tuple[FakeThread, ...]:
        return tuple(self.threads_held)

    def write(self, text: str) -> None:
        self.calls.append(f"write {text}")

    def hit(self, number: int, thread: int, **registers: int) -> object:
        """Let a thread run into a breakpoint; return what `stop` says."""
        self.thread, self.registers = thread, registers
        return self.breakpoints[number].stop()


class _Breakpoint:
    gdb: FakeGdb
    stop: Callable[[], object]
    """What the agent makes of it says whether GDB is to stop."""

    def __init__(self, spec: str, internal: bool = False) -> None:
        assert internal, "GDB would tell of each hit"
        self.__dict__["spec"] = spec
        self.gdb.calls.append(f"break {spec}")
        self.gdb.breakpoints.append(self)

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("enabled", "silent", "condition", "commands", "ignore_count", "thread"):
            self.gdb.calls.append(f"{name} = {value}")
        self.__dict__[name] = value

    def delete(self) -> None:
        self.gdb.calls.append(f"delete {self.__dict__['spec']}")


class _Command:
    gdb: FakeGdb
    invoke: Callable[[str, bool], None]
    window: Any
    """Of the agent's own."""

    def __init__(self, name: str, kind: int) -> None:
        assert kind == self.gdb.COMMAND_USER
        self.gdb.commands[name] = self
