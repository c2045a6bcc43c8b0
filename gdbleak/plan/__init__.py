"""Which functions are recorded, and where their breakpoints go."""
