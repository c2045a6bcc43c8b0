"""The obvious script: where malloc is called, finish it and note what it returned; note each free.

Runs inside GDB: gdb -p PID -x naive_gdb.py
"""

import gdb

allocated = {}


class Finish(gdb.FinishBreakpoint):
    """Notes what a call returned, and its caller."""

    def stop(self):
        block = int(gdb.parse_and_eval("(unsigned long)$rax"))
        allocated[block] = gdb.selected_frame().name()
        return False


class Malloc(gdb.Breakpoint):
    """Finishes each call."""

    def stop(self):
        Finish(gdb.newest_frame(), internal=True)
        return False


class Free(gdb.Breakpoint):
    """Notes each call."""

    def stop(self):
        allocated.pop(int(gdb.parse_and_eval("(unsigned long)$rdi")), None)
        return False


gdb.execute("set pagination off")
Malloc("malloc", internal=True)
Free("free", internal=True)
gdb.execute("continue")
