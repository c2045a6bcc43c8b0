"""The file between what records and what reports, and the types of what stands in it. Pure."""
