"""The listener with its Console, and the callers that the tests of the web have."""

from __future__ import annotations

from tests.console.conftest import base, quick_passwords, visitor
from tests.web.conftest import acme, branch, deliver, no_database, recorded, session, stranger

__all__ = [
    "acme",
    "base",
    "branch",
    "deliver",
    "no_database",
    "quick_passwords",
    "recorded",
    "session",
    "stranger",
    "visitor",
]
