"""Runs inside GDB: attach, wait for a return by way of two frames, print the stack, and detach."""

import os

import gdb

pid, innermost, older = os.environ["GDB_STACK"].split()
for setting in ("pagination off", "confirm off", "backtrace past-main on", "auto-load no"):
    gdb.execute("set " + setting)
gdb.execute("attach " + pid, to_string=True)
gdb.execute("handle all nostop noprint pass", to_string=True)
gdb.Breakpoint("*" + innermost)
print("armed", flush=True)
gdb.execute("continue", to_string=True)
while gdb.newest_frame().older().pc() != int(older, 16):  # another site by the same wrapper
    gdb.execute("continue", to_string=True)
frame = gdb.newest_frame()
while frame is not None:
    if frame.type() != gdb.INLINE_FRAME:
        print(f"pc {frame.pc():#x}")
    frame = frame.older()
gdb.execute("detach", to_string=True)
