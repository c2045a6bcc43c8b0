"""The address space of a process: what each mapping is for, and how much it takes."""
