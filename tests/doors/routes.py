"""Every route of every surface, read from the listener itself, with the SIDs that stand in its path.

A new route appears here by itself. One whose path has a part that nobody knows an example for fails the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute, Mount, Route

from callreel.console.console import make_console
from callreel.parts import Parts
from callreel.web.listener import make_web
from callreel.web.surfaces import Surface

UNKNOWN = "0" * 32
# The prefix of a SID by the part of a path it stands behind, in lower case.
PREFIXES = {
    "accounts": "AC",
    "calls": "CA",
    "campaigns": "CG",
    "compositions": "CJ",
    "conferences": "CF",
    "recordings": "RE",
    "videorecordings": "RT",
    "keys": "SK",
    "aws": "CR",
    "publickeys": "CR",
    "rooms": "RM",
    "retentionclasses": "RC",
    "sources": "SR",
    "migrations": "MG",
    "bulkdelete": "BD",
    "deliveries": "RE",
    "users": "US",
    "media": "no-ticket",
    "static": "app.js",
    "credentials": "CR",
    "api-keys": "SK",
    "people": "US",
    "video": "RT",
    "classes": "RC",
    "migration": "MG",
    "audit": "AU",
    "storage": "CR",
    "holds": "RE",
    "deletions": "BD",
    "views": "1",
}


@dataclass(frozen=True, slots=True)
class Door:
    """One route and one method of it."""

    surface: str
    method: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.surface}{self.path}"

    @property
    def kinds(self) -> list[str]:
        """Which SIDs its path asks for, each by the part of the path before it. Raises `LookupError`."""
        found = []
        for before, _ in re.findall(r"([^/{}]+)/\{(\w+)(?::\w+)?\}", self.path):
            if before.lower() not in PREFIXES:
                raise LookupError(f"{self.name}: tests/doors/routes.py knows no example for what follows {before}/")
            found.append(before.lower())
        assert len(found) == self.path.count("/{"), f"{self.name}: a parameter that follows no name"
        return found

    @property
    def is_videos(self) -> bool:
        return self.surface == Surface.VIDEO

    def filled(self, sids: Mapping[str, str]) -> str:
        """The address, with these SIDs by kind in its path, below the prefix of its surface."""
        kinds = iter(self.kinds)

        def sid(_: re.Match[str]) -> str:
            kind = next(kinds)
            return sids["videorecordings" if self.is_videos and kind == "recordings" else kind]

        prefix = "" if self.surface == Surface.LISTENER else f"/{self.surface}"
        return prefix + re.sub(r"(?<=/)\{\w+(?::\w+)?\}", sid, self.path).replace("report.{kind}", "report.csv")


def unknown_sids() -> dict[str, str]:
    """SIDs of the right shape that nobody has."""
    return {kind: f"{prefix}{UNKNOWN}" if len(prefix) == 2 else prefix for kind, prefix in PREFIXES.items()}


def doors_of(parts: Parts) -> list[Door]:
    """Every door of the installation. `HEAD` goes wherever `GET` does; the descriptions are no doors."""
    web: Any = make_web(parts, console=make_console(parts))
    apps: Mapping[str, Any] = web._app._apps
    found = [
        Door(str(surface), method, path)
        for surface, app in apps.items()
        for path, methods in _routes(app.routes, "")
        for method in sorted(methods)
        if path not in ("/docs", "/openapi.json") and method != "HEAD"
    ]
    return list(dict.fromkeys(found))


def _routes(routes: Sequence[BaseRoute], prefix: str) -> Iterator[tuple[str, set[str]]]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _routes(included.routes, prefix)
        elif isinstance(route, Route):
            yield prefix + route.path, set(route.methods or {"GET"})
        elif isinstance(route, Mount):
            yield from _routes(route.routes or [], prefix + route.path)
        else:
            yield prefix + str(getattr(route, "path", route)), set(getattr(route, "methods", None) or {"GET"})
