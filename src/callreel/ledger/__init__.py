"""The database: who has what, in which state, and what is owed."""
