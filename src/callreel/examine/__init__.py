"""Examining an installation: the invariants of `docs/durability.md` over database, spool and buckets, read-only."""
