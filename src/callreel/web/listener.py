"""The one listener: Twilio's three surfaces and callreel's own behind one edge, from the opened parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

import callreel
from callreel.parts import Parts
from callreel.sign_in_limits import SignInLimits
from callreel.web import (
    accounts,
    audit,
    bulk_delete,
    calls,
    campaigns,
    conferences,
    credentials,
    deletion_settings,
    deliveries,
    events,
    health,
    keys,
    migrations,
    own_recordings,
    playback,
    recording_media,
    recording_settings,
    recording_sublists,
    retention_classes,
    source_webhook,
    sources,
    uploads,
    usage,
    video_compositions,
    video_media,
    video_recordings,
    video_rooms,
    video_uploads,
    voice_recordings,
)
from callreel.web.concurrency import Concurrency
from callreel.web.description import ERRORS, readable
from callreel.web.edge import Edge
from callreel.web.metrics import RequestMetrics
from callreel.web.surfaces import TITLES, Surface

ROUTERS: dict[Surface, tuple[APIRouter, ...]] = {
    # Routes are tried in order: what is asked for most comes first.
    Surface.API: (
        voice_recordings.router,
        calls.router,
        conferences.router,
        accounts.router,
        keys.router,
        recording_sublists.router,
    ),
    Surface.ACCOUNTS: (credentials.router,),
    Surface.VIDEO: (
        recording_settings.video,
        video_rooms.router,
        video_recordings.router,
        video_media.router,
        video_compositions.router,
    ),
    Surface.CALLREEL: (
        recording_settings.voice,
        migrations.router,
        deliveries.router,
        playback.router,
        events.router,
        audit.router,
        deletion_settings.router,
        retention_classes.router,
        campaigns.router,
        bulk_delete.router,  # before what fits any name below Recordings
        own_recordings.router,
        usage.router,
        sources.router,
        source_webhook.router,
    ),
}
# Routes that stream, without FastAPI in between, and what the description says of them.
STREAMING: dict[Surface, tuple[tuple[Route, Mapping[str, Any]], ...]] = {
    Surface.API: recording_media.ROUTES,
    Surface.CALLREEL: (*uploads.ROUTES, *video_uploads.ROUTES, *playback.ROUTES, *video_media.ROUTES),
}


def make_web(parts: Parts, *, console: ASGIApp | None = None) -> ASGIApp:
    """Everything HTTP of an installation as one ASGI application, with the Console where one is given."""
    limits, metrics = SignInLimits(parts.clock), RequestMetrics()
    apps: dict[Surface, ASGIApp] = {surface: _SurfaceApp(surface, parts, limits) for surface in TITLES}
    listener = _ListenerApp(routes=health.ROUTES)
    listener.router.redirect_slashes = False
    listener.state.parts, listener.state.metrics = parts, metrics
    apps[Surface.LISTENER] = listener
    apps[Surface.CONSOLE] = console or listener
    concurrency = Concurrency(parts.chosen.account_concurrency)
    return Edge(_Switch(apps), clock=parts.clock, metrics=metrics, concurrency=concurrency)


class _Switch:
    """Hands a request to its surface."""

    def __init__(self, apps: Mapping[Surface, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._apps[scope["callreel.surface"]](scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})
        else:
            await _live(receive, send)


async def _live(receive: Receive, send: Send) -> None:
    """The parts are opened and closed by whoever made them; the server is only told that we are ready."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


class _SurfaceApp(FastAPI):
    """One surface. Its errors go up to the edge, so that there is one place that words them."""

    def __init__(self, surface: Surface, parts: Parts, limits: SignInLimits) -> None:
        super().__init__(
            title=f"callreel: {surface}",
            description=TITLES[surface],
            version=callreel.__version__,
            servers=[{"url": f"/{surface}"}],
            responses=ERRORS,
            docs_url=None,
            redoc_url=None,
            openapi_url="/openapi.json",
            redirect_slashes=False,  # an unknown path is 404 in Twilio's shape, with a slash behind it too
        )
        self._surface = surface
        self.state.parts, self.state.limits = parts, limits
        for router in ROUTERS[surface]:
            self.include_router(router)
        for route, _ in STREAMING.get(surface, ()):  # behind: a media path also fits what ends in .json
            self.router.routes.append(route)
        self.add_route("/docs", _docs, include_in_schema=False)

    def build_middleware_stack(self) -> ASGIApp:
        return AsyncExitStackMiddleware(self.router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except HTTPException as why:
            raise _with_all_methods(why, self, scope) from why

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            made = super().openapi()
            for route, operations in STREAMING.get(self._surface, ()):
                made.setdefault("paths", {}).setdefault(route.path, {}).update(operations)
            made.setdefault("components", {})["securitySchemes"] = {"basic": {"type": "http", "scheme": "basic"}}
            made["security"] = [{"basic": []}]
            self.openapi_schema = made
        return self.openapi_schema


class _ListenerApp(Starlette):
    def build_middleware_stack(self) -> ASGIApp:
        return self.router


async def _docs(request: Request) -> Response:
    return readable(request.app.openapi(), "openapi.json")


def _with_all_methods(why: HTTPException, app: FastAPI, scope: Scope) -> HTTPException:
    """Starlette names the methods of the first route that fits a path; a path may have several."""
    if why.status_code != 405:
        return why
    allowed = [
        method
        for method in ("GET", "POST", "DELETE")
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.router.routes)
    ]
    return HTTPException(405, headers={"Allow": ", ".join([*allowed, "OPTIONS"])})
