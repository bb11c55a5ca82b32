"""The Console: one file per screen. How to add one: CONTRIBUTING.md, "A screen of the Console"."""
