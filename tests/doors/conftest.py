"""The same listener and callers as the tests of the web have."""

from __future__ import annotations

from tests.web.conftest import acme, base, branch, deliver, no_database, recorded, session, stranger

__all__ = ["acme", "base", "branch", "deliver", "no_database", "recorded", "session", "stranger"]
