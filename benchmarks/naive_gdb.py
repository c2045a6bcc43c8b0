"""The obvious GDB script: what a leak finder in GDB looks like before anything was measured.

    gdb -p PID -batch -ex "python SECONDS = 5" -x naive_gdb.py

A breakpoint at malloc's entry makes a FinishBreakpoint, which has the block; a breakpoint at
free forgets it.
"""

import time

import gdb

live = {}
end = time.time() + SECONDS  # noqa: F821 (set on the command line)


class Returned(gdb.FinishBreakpoint):
    def __init__(self, size):
        super().__init__(gdb.newest_frame(), internal=True)
        self.size = size

    def stop(self):
        live[int(gdb.parse_and_eval("$rax"))] = self.size
        if time.time() > end:
            return True
        gdb.post_event(self.delete)  # GDB deletes only those that stop
        return False

    def out_of_scope(self):
        pass


class Malloc(gdb.Breakpoint):
    def stop(self):
        Returned(int(gdb.parse_and_eval("$rdi")))
        return False


class Free(gdb.Breakpoint):
    def stop(self):
        live.pop(int(gdb.parse_and_eval("$rdi")), None)
        return False


gdb.execute("set pagination off")
breakpoints = [Malloc("malloc"), Free("free")]
gdb.execute("continue")
for point in breakpoints:
    point.delete()
gdb.execute("detach")
