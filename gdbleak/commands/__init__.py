"""The commands, one verb a file: a class with its texts, `add_arguments` and `run`."""
