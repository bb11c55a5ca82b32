"""What stands in the side bar, in order: one line a page. A page is shown to those who have its right."""

from __future__ import annotations

from dataclasses import dataclass

from callreel.model.person import Right


@dataclass(frozen=True, slots=True)
class Item:
    """A page: its address under /console, its name, its icon of `static/icons.svg`, who sees it, and
    whether a number stands beside it."""

    path: str
    name: str
    icon: str
    right: Right = Right.LIST
    counts: bool = False


NAVIGATION: tuple[tuple[str, tuple[Item, ...]], ...] = (
    (
        "Logs",
        (
            Item("/recordings", "Recordings", "mic", counts=True),
            Item("/calls", "Calls", "phone"),
            Item("/video", "Video", "video"),
            Item("/campaigns", "Campaigns", "book"),
            Item("/deletions", "Deletions", "trash", Right.DELETE),
        ),
    ),
    (
        "Storage",
        (
            Item("/storage", "Storage settings", "bucket", Right.STORAGE),
            Item("/credentials", "Credentials", "key", Right.CREDENTIALS, counts=True),
            Item("/deliveries", "Deliveries", "send", counts=True),
            Item("/usage", "Usage", "file", Right.STORAGE),
            Item("/migration", "Migration", "move", Right.MIGRATE, counts=True),
        ),
    ),
    (
        "Account",
        (
            Item("/api-keys", "API keys", "lock", Right.KEYS),
            Item("/audit", "Audit log", "list", Right.AUDIT),
            Item("/retention", "Retention", "clock", Right.STORAGE),
            Item("/settings", "Settings", "gear", Right.PEOPLE),
        ),
    ),
)
