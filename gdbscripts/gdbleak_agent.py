"""The part of gdbleak that runs inside GDB: sets the breakpoints of a plan and records their hits.

Python 2.7 and 3.x, standard library only. What a hit does stands in gdbleak_recorder.py.

`gdbleak-start FILE` begins a window, once the one before it has ended. FILE is a plan in JSON,
in which each character of a path stands for a byte:
    pid          the process to attach to
    remote       whether GDB holds the process already, on another machine; then there is no turn
    lock, life   a file, and a descriptor, by which the guard learns of our death, if there is one
    recording    the file to append to
    stack_bytes  how much raw stack to keep of a return
    breakpoint   the bytes of a breakpoint, in hexadecimal
    sentinel     the id of a probe whose breakpoint only GDB takes out, or null
    probes       a list of {id, address, role, registers, out_register, size_offset, size_words,
                 original, phases, kept_sizes}

GDB puts the breakpoints in once, and takes them out once. In between, `gdbleak-turn` writes the old
bytes over them, and theirs back, while the target runs. GDB itself must not do that, or it forgets
them: a process that is forked in the same moment would keep them in its copy of the memory, and
die of them. Where GDB has taken them out itself, for a child of vfork that shares the memory, none
may be written. One that is never written over, the sentinel, tells that.
"""

import json
import os
import signal
import sys

import gdb

# GDB does not look for modules where its scripts are.
sys.path.insert(0, os.path.dirname(__file__))
from gdbleak_recorder import ALL, PAGE, Code, Probe, Recorder, now_ns

del sys.path[0]


class Window(object):
    """What the commands work on: the recorder and the probes of one plan after the other."""

    def __init__(self):
        self.recorder = None
        self.probes = []

    def start(self, plan):
        self.clear()
        recording = path_of(plan["recording"])
        recorder = self.recorder = Recorder(recording, plan["stack_bytes"], Code(plan))
        recorder.lock = "lock" in plan and hold_lock(path_of(plan["lock"]), plan["life"])
        began = now_ns()
        if not plan.get("remote"):
            gdb.execute("attach %d" % plan["pid"], to_string=True)
            recorder.code.memory = os.open("/proc/%d/mem" % plan["pid"], os.O_RDWR)
        recorder.inferior = gdb.selected_inferior()
        for probe in plan["probes"]:
            self.probes.append(Probe(recorder, probe))
        # Without it GDB would carry the breakpoints over into another program.
        gdb.execute("catch exec", to_string=True)
        # While the output goes into a string, GDB 18 loses the records that tell of this.
        gdb.execute("continue &")
        recorder.attach_pause_ns = now_ns() - began
        recorder.mark(ALL)

    def clear(self):
        """Forget the breakpoints of the window before, or they would go into the next target."""
        while self.probes:
            self.probes.pop().delete()
        if self.recorder is not None:
            gdb.execute("delete", to_string=True)
            self.recorder.close()

    def leave(self):
        """Let the target go, if it is halted: before GDB 11 a running one would keep breakpoints.

        Returns whether it was.
        """
        threads = gdb.selected_inferior().threads()
        if threads and all(thread.is_stopped() for thread in threads):
            gdb.execute("detach", to_string=True)
            return True
        return not threads


class Command(gdb.Command):
    """A command by which the controller, or the guard when that has died, speaks to the agent."""

    def __init__(self, name, window):
        gdb.Command.__init__(self, name, gdb.COMMAND_USER)
        self.window = window


class Start(Command):
    """gdbleak-start FILE: attach, set every breakpoint, and let the target run on, in one step."""

    def invoke(self, argument, from_tty):
        with open(argument) as file:
            plan = json.load(file)
        self.window.start(plan)


class Status(Command):
    """gdbleak-status: print the recorder's counts as one line of JSON."""

    def invoke(self, argument, from_tty):
        gdb.write(json.dumps(self.window.recorder.status()) + "\n")


class Turn(Command):
    """gdbleak-turn PHASE: have other breakpoints in from now on, and print the counts."""

    def invoke(self, argument, from_tty):
        recorder = self.window.recorder
        try:
            recorder.turn(int(argument))
        except OSError as error:
            recorder.turn_error = error.strerror
        gdb.write(json.dumps(recorder.status()) + "\n")


class Threads(Command):
    """gdbleak-threads: print the ids of the threads that GDB holds, as a list in JSON."""

    def invoke(self, argument, from_tty):
        threads = gdb.selected_inferior().threads()
        gdb.write(json.dumps([thread.ptid[1] for thread in threads]) + "\n")


class Leave(Command):
    """gdbleak-leave: let a target go that is halted, and end."""

    def invoke(self, argument, from_tty):
        if self.window.leave():
            gdb.execute("quit")


def path_of(text):
    """A path in a plan, whose characters stand for bytes: not every Python here knows UTF-8."""
    return text.encode("latin-1")


def hold_lock(path, life):
    """Take a mutex that the kernel hands to the guard in the first moment of our death.

    Without ctypes, or the functions of a GNU C library, the guard notices the end of `life`.
    """
    try:
        import ctypes
        import mmap

        libc = ctypes.CDLL(None)
        with open(path, "w+b") as file:
            file.write(b"\0" * PAGE)
            file.flush()
            page = mmap.mmap(file.fileno(), PAGE)
        attributes = ctypes.create_string_buffer(64)
        lock = ctypes.byref(ctypes.c_char.from_buffer(page))
        libc.pthread_mutexattr_init(attributes)
        if (
            libc.pthread_mutexattr_setpshared(attributes, 1) == 0
            and libc.pthread_mutexattr_setrobust(attributes, 1) == 0
            and libc.pthread_mutex_init(lock, attributes) == 0
            and libc.pthread_mutex_lock(lock) == 0
        ):
            os.write(life, b"locked")
        return lock
    except Exception:  # ctypes is optional, and so is this
        return None


def main():
    # None of these may end GDB while it holds a target: not what a service manager sends to a whole
    # group, nor the end of a terminal, of a controller that reads, of processor time, or of how
    # large a file may be.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXCPU, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    window = Window()
    Start("gdbleak-start", window)
    Status("gdbleak-status", window)
    Turn("gdbleak-turn", window)
    Threads("gdbleak-threads", window)
    Leave("gdbleak-leave", window)


main()
