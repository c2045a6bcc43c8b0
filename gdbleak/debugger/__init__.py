"""GDB: the program, its machine interface, and the one that reads symbols."""
