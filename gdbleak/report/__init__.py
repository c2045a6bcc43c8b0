"""What is computed from a recording and what every renderer shows; two of them compared. Pure."""
