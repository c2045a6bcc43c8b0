"""How the recorder of the inline probe gets into a process, and out again."""
