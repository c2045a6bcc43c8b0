"""What keeps a process alive: the guard, the journal, the proof, and repair."""
