"""Files that are sealed where they lie: the format, and reading in it. Spool, service storage and renditions use it."""
