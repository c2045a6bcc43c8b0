"""A trace of a process from the first look at it to the report."""
