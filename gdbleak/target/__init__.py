"""The process that is traced: what it is, its memory, its modules."""
