"""Call stacks from raw stack memory, and the ways through code. Pure."""
