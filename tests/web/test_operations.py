"""The table of operations in the docs, against the schemas, the routes that are served and what they answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi.routing import APIRoute

from callreel.web.listener import ROUTERS, STREAMING
from callreel.web.surfaces import Surface
from tests.web.conftest import CALL, Caller, Record
from tests.web.test_published_schemas import ANSWERS

ROOT = Path(__file__).resolve().parents[2]
CONFERENCE = "CF" + "2" * 32
BOOK = json.loads((ROOT / "tests" / "schemas" / "operations.json").read_text())["operations"]
PUBLISHED: dict[str, dict[str, Any]] = {name: facts for book in BOOK.values() for name, facts in book.items()}
_ROW = re.compile(r"^\| (?:(\w+) \| )?`([A-Z]+ /[^`]+)` \| (.+) \|$", re.MULTILINE)
_EXCEPTION = re.compile(r"^(\d{3}) / (\d{5}): \S")


class Row(NamedTuple):
    operation: str
    request: str
    here: str


def section(*titles: str) -> list[Row]:
    """The rows below these headings of the document."""
    text = (ROOT / "docs" / "operations.md").read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    return [Row(*found) for title in titles for found in _ROW.findall(bodies[title])]


TWILIOS = section("Voice: `api.twilio.com`", "Credentials: `accounts.twilio.com`", "Video: `video.twilio.com`")
MORE = section("More on Twilio's hosts")
OWN = section("callreel's own")
EXCEPTIONS = [row for row in TWILIOS if not row.here.startswith("conforms")]


def unnamed(request: str) -> str:
    """A request without the names of its path's parameters, which are ours or Twilio's."""
    return re.sub(r"\{\w+\}", "{}", request)


def served(surface: Surface) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the listener routes, with its description. The XML twins of a 2010 path are not told apart."""
    for router in ROUTERS[surface]:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            if route.include_in_schema:
                for method in route.methods:
                    yield unnamed(f"{method} {route.path}"), route.openapi_extra or {}
    for streaming, operations in STREAMING.get(surface, ()):
        for method, described in operations.items():
            yield unnamed(f"{method.upper()} {streaming.path}"), dict(described)


def served_on_twilios_hosts() -> dict[str, dict[str, Any]]:
    return {name: found for s in (Surface.API, Surface.ACCOUNTS, Surface.VIDEO) for name, found in served(s)}


def taken(described: dict[str, Any]) -> set[str]:
    names = {parameter["name"] for parameter in described.get("parameters", ())}
    for content in described.get("requestBody", {}).get("content", {}).values():
        names |= set(content["schema"]["properties"])
    return names


def test_the_table_has_every_published_operation_once() -> None:
    assert {row.request: row.operation for row in TWILIOS} == {
        request: facts["operationId"] for request, facts in PUBLISHED.items()
    }
    assert len(TWILIOS) == len(PUBLISHED)


def test_the_tables_and_the_routes_are_the_same() -> None:
    assert {unnamed(row.request) for row in TWILIOS + MORE} == set(served_on_twilios_hosts())
    assert {unnamed(row.request) for row in OWN} == {name for name, _ in served(Surface.CALLREEL)}


def test_the_numbers_above_the_tables_are_right() -> None:
    text = " ".join((ROOT / "docs" / "operations.md").read_text().split())
    assert f"{len(TWILIOS)} in three files, {len(TWILIOS) - len(EXCEPTIONS)} of which conform" in text
    assert f"The {len(EXCEPTIONS)} others answer the error" in text


@pytest.mark.parametrize("row", [row for row in TWILIOS if row not in EXCEPTIONS], ids=lambda row: row.operation)
def test_what_conforms_is_judged_by_its_schema_and_takes_every_parameter(row: Row) -> None:
    method, _, path = row.request.partition(" ")
    assert method == "DELETE" or any(name.startswith(f"{method} {path} 2") for name in ANSWERS)
    missing = set(PUBLISHED[row.request]["parameters"]) - taken(served_on_twilios_hosts()[unnamed(row.request)])
    assert missing <= set(re.findall(r"`(\w+)`", row.here))


@pytest.mark.parametrize("row", EXCEPTIONS, ids=lambda row: row.operation)
async def test_an_exception_answers_the_error_the_table_names(row: Row, acme: Caller, recorded: Record) -> None:
    sid = (await recorded(query=f"?CallSid={CALL}&ConferenceSid={CONFERENCE}"))["sid"]
    room = (await acme.post("/v1/Rooms")).json()["sid"]
    method, _, path = row.request.partition(" ")
    own = {"Calls": CALL, "Conferences": CONFERENCE, "Recordings": sid, "Compositions": "CJ" + "3" * 32}
    path = re.sub(r"(\w+)/\{\w+\}", lambda found: f"{found[1]}/{own.get(found[1], acme.sid)}", path)
    form = {"Status": "paused" if "Recordings/" in path else "completed", "RoomSid": room, "AudioSources": "*"}
    answer = await acme.send(method, path, data=form if method == "POST" else None)
    named = _EXCEPTION.match(row.here)
    assert named is not None, row.here
    assert (answer.status, answer.json()["code"]) == (int(named[1]), int(named[2]))
