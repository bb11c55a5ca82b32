"""Measurements: what callreel's bookkeeping costs, side by side with uploaders that keep no books."""
