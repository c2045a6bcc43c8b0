"""What gdbleak needs of its own process and host: files, folders, streams, limits, children."""
