"""Everything that touches a running process: GDB, the window, its end, and the proof after it."""
