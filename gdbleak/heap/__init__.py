"""The heap of glibc's malloc, read from the memory of a process. Pure.

Where the fields are is in `layouts`, a row for each layout that glibc has had.
"""
