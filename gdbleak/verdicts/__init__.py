"""What a call stack deserves to be called, and what follows from it. Pure."""
