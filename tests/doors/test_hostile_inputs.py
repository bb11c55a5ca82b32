"""Hostile requests to every route and mutated media files: never an error of ours, never a crash, no growing memory.

A short, seeded share of it is in the suite; `make hostile` runs all of it. A failure names the seed that repeats it.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from random import Random
from typing import Any
from urllib.parse import quote

import psutil

from callreel.clock import SetClock
from callreel.parts import Parts
from tests.doors import mutations
from tests.doors.routes import PREFIXES, Door, doors_of, unknown_sids
from tests.web.conftest import Caller

SEED = os.environ.get("HOSTILE_SEED", "1")
UPLOADS = int(os.environ.get("HOSTILE_UPLOADS", "60"))
REQUESTS = int(os.environ.get("HOSTILE_REQUESTS", "3"))  # to each route

IN_PATHS = [
    "%00",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..",
    "%ff%fe",
    "RE" + "a" * 31,
    "RE" + "A" * 32,
    "re" + "a" * 32,
    "RE" + "%D9%A1" * 32,
    "x" * 3000,
    "RE" + "0" * 32 + "%00",
    "RE" + "0" * 32 + ".json.json",
    "'%20OR%201=1--",
    "%0d%0aX:%20y",
    "%F0%9F%92%A3",
    "RE" + "0" * 32 + "%2f..",
    "null",
    "-1",
    "%25%32%65",
    "{sid}",
    "%C0%AE%C0%AE",
]
VALUES = [
    "",
    " ",
    "\x00",
    "\ud800",
    "\U0001f4a3" * 300,
    "a" * 200_000,
    "-1",
    "9" * 400,
    "1e309",
    "NaN",
    "0x10",
    "\u0661\u0662",
    "true\n",
    "[]",
    "{}",
    "null",
    "../../etc/passwd",
    "'; DROP TABLE recordings;--",
    "<script>alert(1)</script>",
    "${jndi:ldap://x}",
    "%s%n",
    "2026-13-45",
    "0000-00-00",
    "9999-12-31T23:59:59Z",
    "2026-01-01T00:00:00+99:99",
    "P" + "A" * 40,
    "\u202e",
    "=1+1",
    "AC" + "0" * 32,
]
NAMES = [
    "FriendlyName",
    "Status",
    "PageSize",
    "Page",
    "PageToken",
    "DateCreated",
    "DateCreated<",
    "StartTime>",
    "CallSid",
    "RecordingSid",
    "AwsS3Url",
    "AwsCredentialsSid",
    "EncryptionKeySid",
    "AwsStorageEnabled",
    "Credentials",
    "PublicKey",
    "State",
    "All",
    "Type",
    "UniqueName",
    "StatusCallback",
    "KeepDays",
    "DryRun",
    "Confirm",
    "Action",
    "Subject",
    "Ttl",
    "RequestedChannels",
    "Trim",
    "KeyTemplate",
    "SseKmsKeyId",
    "ObjectLockDays",
    "BaseUrl",
    "TwilioAccountSid",
    "CreatedAfter",
    "Source",
    "From",
    "To",
    "",
    "account_sid",
    "sid",
    "state",
    "__proto__",
    "a[b][c]",
    "FriendlyName[]",
]


def _form(rng: Random) -> bytes:
    pairs = [(rng.choice(NAMES), rng.choice(VALUES)) for _ in range(rng.choice((1, 3, 12)))]
    pairs += pairs[: rng.randint(0, 2)]
    return "&".join(f"{quote(n)}={quote(v, errors='surrogatepass')}" for n, v in pairs).encode()


def _body(rng: Random) -> tuple[bytes, str]:
    """A body and what it says it is."""
    form, json = "application/x-www-form-urlencoded", "application/json"
    return rng.choice(
        [
            (_form(rng), form),
            (b"&".join([b"a=1"] * 5000), form),
            (b"%zz=%&&&=&=%ff", form),
            (rng.randbytes(500), form),
            (b"[" * 50_000 + b"]" * 50_000, json),
            (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, json),
            (b'{"FriendlyName": {"x": [1]}, "AwsS3Url": 5, "PageSize": 1e999}', json),
            (b'{"FriendlyName": "' + b"\\ud800" * 10 + b'"}', json),
            (b'{"KeepDays": ' + b"9" * 5000 + b"}", json),
            (b"\xff\xfe{\x00}\x00", json),
            (b"null", json),
            (rng.randbytes(300), "multipart/form-data; boundary=x"),
            (rng.randbytes(300), "audio/wav"),
            (_form(rng), "text/plain; charset=utf-7"),
            (b"", form),
        ]
    )


def _headers(rng: Random) -> dict[str, str]:
    return rng.choice(
        [
            {},
            {},
            {"Range": "bytes=" + ",".join(["0-1"] * 2000)},
            {"Range": f"bytes={'9' * 300}-"},
            {"If-None-Match": '"' * 3000},
            {"Idempotency-Key": "k" * 5000},
            {"Accept": "*/*," * 3000},
            {f"X-{i}": "1" for i in range(150)},
            {"Host": "a" * 3000},
            {"X-Forwarded-For": "127.0.0.1, " * 500, "X-Forwarded-Host": "evil.example"},
            {"Cookie": "a=b; " * 2000},
            {"Authorization-Info": "x"},
        ]
    )


async def _ask(door: Door, rng: Random, acme: Caller) -> Any:
    sids = unknown_sids() | {"accounts": acme.sid}
    if rng.random() < 0.5:
        sids[rng.choice(sorted(PREFIXES))] = rng.choice(IN_PATHS)
        for kind in door.kinds[-1:]:
            sids[kind] = rng.choice(IN_PATHS)
    path = door.filled(sids) + (f"?{_form(rng).decode()}"[:2500] if rng.random() < 0.5 else "")
    headers = _headers(rng)
    if door.method == "GET":
        return await acme.send("GET", path, headers=headers)
    body, kind = _body(rng)
    return await acme.send(door.method, path, data=io.BytesIO(body), headers=headers | {"Content-Type": kind})


async def test_a_hostile_request_to_any_route_is_never_an_error_of_ours(
    acme: Caller, parts: Parts, clock: SetClock
) -> None:
    process, asked, faults, before = psutil.Process(), Counter[int](), [], 0
    doors = doors_of(parts)
    for round_ in range(REQUESTS):
        for n, door in enumerate(doors):
            seed = f"{SEED}/{round_}/{n}"
            answer = await _ask(door, Random(seed), acme)
            clock.advance(1)
            asked[answer.status] += 1
            if answer.status >= 500 and answer.status not in (503, 507):
                faults.append(f"seed {seed}: {door.name}: {answer.status} {answer.body[:200]!r}")
            if 400 <= answer.status < 500 and door.surface in ("api", "accounts", "video", "callreel"):
                assert b"Traceback" not in answer.body
                assert b"<html" not in answer.body, seed
        before = before or process.memory_info().rss
    growth_mb = (process.memory_info().rss - before) / 1e6
    print(f"\n{sum(asked.values())} hostile requests: {dict(sorted(asked.items()))}, {len(faults)} server errors")
    print(f"memory grew by {growth_mb:.1f} MB")
    assert faults == []
    assert growth_mb < mutations.LEAST_GROWTH_MB


async def test_a_mutated_file_that_is_uploaded_is_taken_or_refused_and_nothing_else(acme: Caller, parts: Parts) -> None:
    goods, asked, faults = mutations.originals_once(), Counter[int](), []
    process = psutil.Process()
    before = 0
    for i in range(UPLOADS):
        seed = f"{SEED}/{i}"
        body = mutations.mutated(Random(seed), goods)
        where = "Recordings" if i % 2 else "VideoRecordings"
        kind = "audio/wav" if i % 2 else "video/x-matroska"
        answer = await acme.send(
            "POST", f"{acme.own_path}/{where}?Trim=trim-silence", data=io.BytesIO(body), headers={"Content-Type": kind}
        )
        asked[answer.status] += 1
        if answer.status not in (201, 400, 413, 415):
            faults.append(f"seed {seed}: {where}: {answer.status} {answer.body[:200]!r}")
        before = before or (process.memory_info().rss if i >= min(50, UPLOADS // 2) else 0)
    growth_mb = (process.memory_info().rss - before) / 1e6
    print(f"\n{UPLOADS} mutated files uploaded: {dict(sorted(asked.items()))}, {len(faults)} server errors")
    print(f"memory grew by {growth_mb:.1f} MB")
    assert faults == []
    assert growth_mb < mutations.LEAST_GROWTH_MB
    assert [path.name for path in parts.spool.tmp.iterdir()] == []


def test_the_inspection_of_mutated_files_only_takes_or_refuses() -> None:
    outcomes, growth_mb, faults = mutations.run(500, int(SEED))
    assert faults == []
    assert growth_mb < mutations.LEAST_GROWTH_MB
    assert outcomes["taken"] > 20
