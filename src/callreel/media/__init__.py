"""Audio: what is in it, and how to hand it out."""
