"""The probe that records inside the target: what is written into it, how, and how it is read."""
