"""One verb of a recording's life per file."""
