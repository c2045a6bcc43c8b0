"""What looks on while a window is open, in a process of its own: nothing it does delays the window.

The window says where it stands, ten times a second, and up to where its recording is whole. The
other process reads that part of the recording, makes a report of it as of a finished one, and
shows it. A terminal that takes no text, a reader that is slow, symbols that take seconds to read:
all of that is its own affair.
"""
