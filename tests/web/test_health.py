"""Alive, ready, counted."""

from __future__ import annotations

import shutil

import pytest

from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.model.recording import State
from callreel.parts import Parts
from tests.conftest import psql
from tests.web.conftest import Caller


async def test_healthz_and_readyz_need_no_credential(acme: Caller) -> None:
    assert (await acme.get("/healthz", auth=None)).json() == {"ok": True}
    ready = await acme.get("/readyz", auth=None)
    assert ready.status == 200
    assert ready.json()["checks"] == dict.fromkeys(("database", "migrations", "disk", "key_ring"), "ok")


async def test_readyz_is_503_with_the_reason_when_the_disk_is_gone(acme: Caller, parts: Parts) -> None:
    shutil.rmtree(parts.spool.root)
    answer = await acme.get("/readyz", auth=None)
    assert (answer.status, answer.json()["ready"]) == (503, False)
    assert "disk" in answer.json()["checks"]["disk"]
    assert answer.json()["checks"]["database"] == "ok"
    assert (await acme.get("/healthz", auth=None)).status == 200


async def test_readyz_is_503_with_the_reason_when_the_database_is_away(acme: Caller, no_database: None) -> None:
    answer = await acme.get("/readyz", auth=None)
    assert answer.status == 503
    assert "database" in answer.json()["checks"]["database"]
    assert (await acme.get("/metrics", auth=None)).status == 200


async def test_readyz_is_503_when_the_schema_is_another(acme: Caller, parts: Parts, postgres: EmbeddedPostgres) -> None:
    name = parts.ledger.engine.url.database
    psql(postgres, "UPDATE alembic_version SET version_num = 'other'", str(name))
    answer = await acme.get("/readyz", auth=None)
    assert (answer.status, answer.json()["checks"]["database"]) == (503, "ok")
    assert answer.json()["checks"]["migrations"] != "ok"


async def test_readyz_warns_of_deliveries_in_trouble_and_stays_ready(acme: Caller, parts: Parts) -> None:
    sid = (await acme.upload()).json()["sid"]
    recording = await parts.ledger.recordings.find_for_work(sid)
    assert recording is not None
    await parts.ledger.move(recording, State.PARKED)
    answer = await acme.get("/readyz", auth=None)
    assert answer.status == 200
    assert answer.json()["warnings"] == ["1 recordings are parked"]


@pytest.mark.parametrize(
    "line", ['callreel_requests_total{status="201",surface="callreel"} 1.0', 'callreel_recordings{state="spooled"} 1.0']
)
async def test_metrics_count_requests_and_recordings(acme: Caller, line: str) -> None:
    await acme.upload()
    assert line in (await acme.get("/metrics", auth=None)).body.decode().splitlines()
