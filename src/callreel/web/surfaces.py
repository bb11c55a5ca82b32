"""Which surface a request is for: by prefix, by the shape of a bare path, or by the host's first label."""

from __future__ import annotations

from enum import StrEnum


class Surface(StrEnum):
    """Twilio's three hosts, callreel's own surface, the Console, and the listener itself (health, metrics, landing)."""

    API = "api"
    ACCOUNTS = "accounts"
    VIDEO = "video"
    CALLREEL = "callreel"
    CONSOLE = "console"
    LISTENER = "listener"


TITLES = {
    Surface.API: "Accounts, API keys and voice recordings",
    Surface.ACCOUNTS: "Credentials",
    Surface.VIDEO: "Video rooms, recordings and their settings",
    Surface.CALLREEL: "callreel's own: uploads, voice settings, deliveries, playback, events",
}

_PREFIXES = {f"/{surface}": surface for surface in (*TITLES, Surface.CONSOLE)}
# The path sets of Twilio's hosts do not collide, so a bare path already says whose it is.
_BARE = (
    ("/2010-04-01/", Surface.API),
    ("/v1/Credentials", Surface.ACCOUNTS),
    ("/v1/RecordingSettings", Surface.VIDEO),
    ("/v1/CompositionSettings", Surface.VIDEO),
    ("/v1/Recordings", Surface.VIDEO),
    ("/v1/Rooms", Surface.VIDEO),
    ("/v1/Compositions", Surface.VIDEO),
)
_LISTENERS_OWN = frozenset({"/", "/healthz", "/readyz", "/metrics"})


def surface_of(host: str, path: str) -> tuple[Surface, str]:
    """The surface and the prefix to take off the path. A host label decides only what the path leaves open."""
    if path in _LISTENERS_OWN:
        return Surface.LISTENER, ""
    for bare, surface in _BARE:
        if path.startswith(bare):
            return surface, ""
    first, _, _ = path[1:].partition("/")
    found = _PREFIXES.get(f"/{first}")
    if found is not None:
        return found, f"/{first}"
    label = host.partition(".")[0].lower()
    named = _PREFIXES.get(f"/{label}")
    return (named, "") if named is not None else (Surface.LISTENER, "")
