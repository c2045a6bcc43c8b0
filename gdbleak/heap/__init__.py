"""What stands in the heap of glibc, read from the memory of a process. Pure."""
