"""Runs inside GDB: attach, wait for a return by way of two frames, print the stack, and detach."""

import os

import gdb


def stack():
    """Return the addresses of the frames that are on the stack: no inlined ones."""
    addresses, frame = [], gdb.newest_frame()
    while frame is not None:
        if frame.type() != gdb.INLINE_FRAME:
            addresses.append(frame.pc())
        frame = frame.older()
    return addresses


pid, innermost, older = os.environ["GDB_STACK"].split()
for setting in ("pagination off", "confirm off", "backtrace past-main on", "auto-load no"):
    gdb.execute("set " + setting)
gdb.execute("attach " + pid, to_string=True)
gdb.execute("handle all nostop noprint pass", to_string=True)
gdb.Breakpoint("*" + innermost)
print("armed", flush=True)
gdb.execute("continue", to_string=True)
while stack()[1] != int(older, 16):  # another site by the same wrapper
    gdb.execute("continue", to_string=True)
for address in stack():
    print(f"pc {address:#x}")
gdb.execute("detach", to_string=True)
