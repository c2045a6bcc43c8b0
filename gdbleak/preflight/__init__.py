"""What a trace would cost a process, and what would stop it, found out without touching it."""
