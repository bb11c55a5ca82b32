"""Declaring an operation: the same words make the route and its description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, Response

Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Response]])
Responses = Mapping[int | str, dict[str, Any]]
VERSION = "/2010-04-01"


def on(
    router: APIRouter, method: str, path: str, *, responses: Responses, in_schema: bool = True, **described: Any
) -> Callable[[Endpoint], Endpoint]:
    """Serve an operation at `path`. Its docstring's first line is its summary."""

    def register(endpoint: Endpoint) -> Endpoint:
        router.add_api_route(
            path,
            endpoint,
            methods=[method],
            include_in_schema=in_schema,
            response_class=Response,
            response_model=None,
            status_code=next(status for status in responses if isinstance(status, int)),
            responses=dict(responses),
            summary=(endpoint.__doc__ or "").split("\n")[0],
            description=" ",
            **described,
        )
        return endpoint

    return register


def on_2010(
    router: APIRouter, method: str, path: str, *, bare: bool = True, **described: Any
) -> Callable[[Endpoint], Endpoint]:
    """Serve an operation at `path.json`, `path.xml` and, unless something else lives there, at `path`."""

    def register(endpoint: Endpoint) -> Endpoint:
        for suffix in (".json", ".xml", *([""] if bare else [])):
            on(router, method, f"{VERSION}{path}{suffix}", in_schema=suffix == ".json", **described)(endpoint)
        return endpoint

    return register
