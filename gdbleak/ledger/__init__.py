"""From events to blocks: who is alive. Pure."""
