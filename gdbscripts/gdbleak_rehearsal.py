"""Attach to a process of our own, arm, resume and detach: what will be done to the target, once.

A GDB takes several times as long for what it does for the first time: it tries out what the
kernel's ptrace can do, on two processes that it starts; its code and that of its Python come from
the disk; its tables are built. The target would stand still meanwhile. Runs inside GDB, before the
agent.

Python 2.7 and 3.x, standard library only.
"""

import os
import signal

import gdb


def start_stand_in():
    """Start a copy of this process that does nothing, and ends when this one does."""
    waiting, ending = os.pipe()
    pid = os.fork()
    if pid:
        os.close(waiting)
        return pid, ending
    try:
        # In a group of its own: if we die while it is stopped, the kernel ends it by a SIGHUP.
        os.setpgid(0, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        for name in os.listdir("/proc/self/fd"):
            # Among them are those that tell others of our death.
            if int(name) != waiting:
                close(int(name))
        os.read(waiting, 1)
    finally:
        os._exit(0)


def close(file):
    try:
        os.close(file)
    except OSError:  # it belonged to the list itself
        return


def rehearse():
    try:
        pid, ending = start_stand_in()
    except OSError:  # there is no room for another process: then without
        return
    probes = []
    try:
        gdb.execute("attach %d" % pid, to_string=True)
        probes.append(gdb.Breakpoint("*$pc", internal=True))
        gdb.execute("catch exec", to_string=True)
        gdb.execute("continue &", to_string=True)
        gdb.execute("detach", to_string=True)
    except gdb.error:  # what it was will be seen when it happens with the target
        attempt("kill")
    for probe in probes:
        probe.delete()
    attempt("delete")
    os.close(ending)
    wait_for(pid)


def attempt(command):
    try:
        gdb.execute(command, to_string=True)
    except gdb.error:  # there is nothing to do it to
        return


def wait_for(pid):
    """End the stand-in, unless GDB has ended it and waited for it."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended or os.WIFSTOPPED(status):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    except OSError:  # it is no child of ours any more
        return


rehearse()
