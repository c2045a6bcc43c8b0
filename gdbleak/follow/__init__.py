"""What is shown while a window is open, by a process of its own: nothing it does delays the window.

Ten times a second the window tells how far it is, and up to which byte its recording is whole. The
other process reads that part of the recording, makes a report of it as of a finished one, and shows
it. A terminal that takes no text, a slow reader, symbols that take seconds to read: the window does
not wait for any of them.
"""
