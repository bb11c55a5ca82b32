"""A page of a long list over HTTP, against the same query typed into psql on the same database."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import quote, urlsplit

from sqlalchemy import text

from benchmarks.figures import Figure, Ratio
from benchmarks.installation import Installation
from benchmarks.service import serve
from callreel.ledger.embedded_postgres import EmbeddedPostgres

PAGE = 50
ROUNDS = 5
ASKED = 100  # of each contender in each round
WARM_UP = 30
REACH = 3.0
DEEP = 0.9  # of the list lies before the deep page

# One row in fifty is deleted, so that the filter on the state has something to leave out.
_FILL = """
INSERT INTO recordings (sid, account_sid, kind, state, fence, unfinished, host_id, call_sid, source, channels,
    duration_ms, media_type, start_time, date_created, date_updated, media_size_bytes, media_sha256, media_md5,
    is_external, bucket, object_key, object_url)
SELECT 'RE' || md5(i::text), :account, 'voice', CASE WHEN i % 50 = 0 THEN 'deleted' ELSE 'released' END, 5, false,
    'bench', 'CA' || md5(i::text), 'OutboundAPI', 1, 60000, 'audio/x-wav', moment, moment, moment, 960044,
    repeat('a', 64), repeat('b', 32), true, 'bucket', 'calls/' || i, 'https://bucket.example/calls/' || i
FROM (SELECT i, timestamptz '2026-11-01 00:00Z' - i * interval '20 seconds' AS moment
      FROM generate_series(1, :count) AS i) AS made
"""
_QUERY = (
    "SELECT * FROM recordings WHERE account_sid = '{account}' AND kind = 'voice' AND {bound} "
    "AND state NOT IN ('deleting', 'deleted') ORDER BY date_created DESC, sid DESC LIMIT 51;"
)


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in milliseconds."""

    service_ms: float
    psql_ms: float


async def pages_against_psql(installation: Installation, count: int) -> Figure:
    """The first and a deep page of `count` recordings, each against its query; contenders take turns."""
    await _fill(installation, count)
    before = "2026-11-01T00:00:00Z"
    async with serve(installation, role="api") as service:
        first = f"/2010-04-01/Accounts/{installation.account.sid}/Recordings.json?PageSize={PAGE}"
        first += f"&{quote('DateCreated<')}={before}"
        deep, place = await asyncio.to_thread(_deep_page, installation, service.url, first, count)
        plain = _QUERY.format(account=installation.account.sid, bound=f"date_created < '{before}'")
        beyond = f"(date_created, sid) < ('{place[0]}', '{place[1]}')"
        further = _QUERY.format(account=installation.account.sid, bound=beyond)
        near = await asyncio.to_thread(_race, installation, service.url, first, plain)
        far = await asyncio.to_thread(_race, installation, service.url, deep, further)
    ratios = (
        _ratio("first page over its query", near),
        _ratio("deep page over its query", far),
        Ratio(
            "deep page over first page",
            round(far.service_ms / near.service_ms, 3),
            "≤ 1.2",
            far.service_ms <= 1.2 * near.service_ms,
        ),
    )
    name = (
        f"a page of {PAGE} of {count:,} recordings: first {near.service_ms:.2f} ms (psql {near.psql_ms:.2f}), "
        f"deep {far.service_ms:.2f} ms (psql {far.psql_ms:.2f})"
    )
    return Figure(name, count, (), ratios)


def _ratio(what: str, times: Times) -> Ratio:
    value = times.service_ms / times.psql_ms
    return Ratio(f"time, {what}", round(value, 2), f"≤ {REACH:.0f}", value <= REACH)


async def _fill(installation: Installation, count: int) -> None:
    engine = installation.parts.ledger.engine
    async with engine.begin() as transaction:
        await transaction.execute(text(_FILL), {"account": installation.account.sid, "count": count})
    async with engine.connect() as connection:
        await connection.execute(text("VACUUM ANALYZE recordings"))


def _deep_page(installation: Installation, url: str, first: str, count: int) -> tuple[str, tuple[str, str]]:
    """The path of a page far down, by a token as the list itself gives them, and its place for psql."""
    number = int(count * DEEP) + 1
    micros = "(extract(epoch FROM date_created) * 1000000)::bigint"
    asked = f"SELECT sid, date_created, {micros} FROM recordings WHERE sid = 'RE' || md5('{number}')"
    sid, moment, micros = _psql(installation, asked + ";", "-F", "|").strip().split("|")
    return f"{first}&Page=1&PageToken=PA{sid}.{micros}", (moment, sid)


def _race(installation: Installation, url: str, path: str, query: str) -> Times:
    wire = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    signed = base64.b64encode(f"{installation.account.sid}:{installation.token}".encode()).decode()

    def ask() -> float:
        began = time.perf_counter()
        wire.request("GET", path, headers={"Authorization": f"Basic {signed}"})
        answer = wire.getresponse()
        body = answer.read()
        took = time.perf_counter() - began
        if answer.status != 200 or len(json.loads(body)["recordings"]) != PAGE:
            raise RuntimeError(f"the list answered {answer.status} to {path}")
        return took * 1e3

    for _ in range(WARM_UP):
        ask()
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours += [ask() for _ in range(ASKED)]
        timed = _psql(installation, "\\timing on\n\\o /dev/null\n" + f"{query}\n" * ASKED)
        theirs += [float(line.split()[1]) for line in timed.splitlines() if line.startswith("Time:")]
    wire.close()
    return Times(median(ours), median(theirs))


def _psql(installation: Installation, script: str, *options: str) -> str:
    server = EmbeddedPostgres(Path(installation.data_dir))
    command = [server.bin / "psql", "-XAtq", *options, "-h", server.socket_dir, "-U", "callreel", "-d", "callreel"]
    return subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout
