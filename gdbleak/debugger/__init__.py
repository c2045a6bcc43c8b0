"""GDB: which program, a running one by its machine interface, and one that reads symbols."""
