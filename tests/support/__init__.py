"""What the tests share: programs to trace, and the command line under test."""
