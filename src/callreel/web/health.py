"""The listener's own answers: is it alive, is it ready, what does it count, what is it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

import callreel
from callreel.errors import CallreelError, DatabaseAway, SealBroken
from callreel.ledger.database import is_migrated
from callreel.parts import Parts
from callreel.web.answers import json_answer
from callreel.web.description import page
from callreel.web.metrics import RequestMetrics
from callreel.web.surfaces import TITLES

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def healthz(request: Request) -> Response:
    """The process answers."""
    return json_answer({"ok": True})


async def readyz(request: Request) -> Response:
    """Whether recordings can be taken in: 503 with the reasons when not. Deliveries in trouble are a warning."""
    parts: Parts = request.app.state.parts
    checks = {}
    for name, check in _CHECKS.items():
        try:
            await check(parts)
            checks[name] = "ok"
        except CallreelError as why:
            checks[name] = why.message
    ready = all(said == "ok" for said in checks.values())
    warnings = await _warnings(parts) if checks["database"] == "ok" else []
    return json_answer({"ready": ready, "checks": checks, "warnings": warnings}, 200 if ready else 503)


async def metrics(request: Request) -> Response:
    """Prometheus's text. Without a database there are no numbers of recordings, only of requests."""
    parts: Parts = request.app.state.parts
    counted: RequestMetrics = request.app.state.metrics
    try:
        by_state = await parts.ledger.recordings.count_by_state()
    except DatabaseAway:
        return Response(counted.page_of_requests(), media_type=METRICS_TYPE)
    return Response(counted.page(by_state), media_type=METRICS_TYPE)


async def landing(request: Request) -> Response:
    """What this is, and where to read on. A browser is sent to the Console."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/console/", 303)
    return json_answer(
        {
            "name": "callreel",
            "version": callreel.__version__,
            "docs": "/docs",
            "surfaces": {str(s): {"about": about, "openapi": f"/{s}/openapi.json"} for s, about in TITLES.items()},
        }
    )


async def docs(request: Request) -> Response:
    """The way to the surfaces' own pages."""
    rows = "".join(f"<tr><td><a href='/{s}/docs'>/{s}/docs</a><td>{about}" for s, about in TITLES.items())
    return page(f"callreel {callreel.__version__}", f"<table>{rows}</table>")


async def _database(parts: Parts) -> None:
    await parts.ledger.answers()


async def _migrations(parts: Parts) -> None:
    if not await is_migrated(parts.ledger.engine):
        raise DatabaseAway("The schema is not that of this version")


async def _disk(parts: Parts) -> None:
    parts.spool.check_room(0)


async def _key_ring(parts: Parts) -> None:
    name = {"table": "readyz", "row": "", "account": ""}
    if parts.keyring.open(parts.keyring.seal(b"ready", **name), **name) != b"ready":
        raise SealBroken()


_CHECKS: dict[str, Callable[[Parts], Awaitable[None]]] = {
    "database": _database,
    "migrations": _migrations,
    "disk": _disk,
    "key_ring": _key_ring,
}


async def _warnings(parts: Parts) -> list[str]:
    counts = await parts.ledger.recordings.count_by_state()
    troubled = {state: counts.get(state, 0) for state in ("waiting", "parked", "fatal")}
    warnings = [f"{count} recordings are {state}" for state, count in troubled.items() if count]
    for heartbeat in await parts.ledger.heartbeats.list():
        if not heartbeat.trust.is_whole:
            warnings.append(
                f"nothing is purged or erased by worker {heartbeat.host_id}: {heartbeat.trust.why}; "
                "once the time is right: callreel clock confirm"
            )
    return warnings


ROUTES = [
    Route("/", landing),
    Route("/docs", docs),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
