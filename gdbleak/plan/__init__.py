"""The plan of a window: which functions are recorded, and where their breakpoints go."""
