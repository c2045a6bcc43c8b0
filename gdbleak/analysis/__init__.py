"""From a recording to a report. Pure."""
