"""The Console's figures, on this machine: `python -m tests.console.figures [ROWS]` (1,000,000 unless told otherwise).

A list page's server time is told beside its queries' own, in turns; bytes are counted by the browser.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Browser as Chrome
from playwright.async_api import async_playwright, expect
from sqlalchemy import text
from starlette.types import ASGIApp, Message

from callreel.console.console import make_console
from callreel.console.visit import COOKIE
from callreel.ledger.recordings import RecordingFilter
from callreel.rehearsal.speech import speech
from callreel.steps.read_calls import find_calls
from callreel.steps.sign_in import begin_session
from callreel.web.listener import make_web
from tests.console.conftest import CHROMIUM, seat
from tests.console.town import OWNER, Town, town

ROUNDS = 21
HOUR_S = 3600
_COPY = """
INSERT INTO recordings ({columns})
SELECT {values} FROM recordings r, generate_series(1, :rows) n WHERE r.sid = :sid
"""
_LCP = """() => new Promise(done => new PerformanceObserver(list =>
  done(list.getEntries().at(-1).startTime)).observe({type: "largest-contentful-paint", buffered: true}))"""


async def _many(there: Town, rows: int) -> None:
    """As many recordings as asked for, each a second apart, copied from one."""
    own = {
        "sid": "'RE' || md5(n::text)",
        "date_created": "r.date_created - n * interval '1 second'",
        "unfinished": "false",
    }
    async with there.parts.ledger.engine.begin() as transaction:
        names = (
            await transaction.execute(
                text("SELECT column_name FROM information_schema.columns WHERE table_name = 'recordings'")
            )
        ).scalars()
        columns = list(names)
        values = ", ".join(own.get(name, f"r.{name}") for name in columns)
        statement = _COPY.format(columns=", ".join(columns), values=values)
        await transaction.execute(text(statement), {"rows": rows, "sid": there.recordings["bucket"].sid})
    async with there.parts.ledger.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("ANALYZE recordings"))


async def list_page(there: Town) -> dict[str, float]:
    """Milliseconds of a page of 50 and of its queries, medians of turns."""
    account = there.recordings["bucket"].account_sid
    parts, pages, queries = there.parts, [], []
    found = await parts.ledger.people.find_by_email(OWNER)
    assert found is not None
    secret = await begin_session(
        found[0], kept_form=None, people=parts.ledger.people, digest=parts.digest, clock=parts.clock
    )
    app = make_web(parts, console=make_console(parts))
    for _ in range(ROUNDS):
        pages.append(await _served(app, "/console/recordings", f"{COOKIE}={secret}"))
        began = time.perf_counter()
        listed = await parts.ledger.recordings.list(account, RecordingFilter(include_deleted=True), place=None, size=50)
        await find_calls(account, [r.call_sid for r in listed.rows if r.call_sid], logs=parts.logs)
        queries.append(time.perf_counter() - began)
    page, query = statistics.median(pages) * 1000, statistics.median(queries) * 1000
    least = min(pages) / min(queries)
    return {"page_ms": page, "query_ms": query, "ratio": page / query, "ratio_of_the_quickest": least}


async def at_a_glance(there: Town) -> dict[str, float]:
    """Milliseconds of what the page does not wait for: with the sums of usage to be taken, and without."""
    account, ledger = there.recordings["bucket"].account_sid, there.parts.ledger
    there.clock.advance(3600)
    took = []
    for seconds in (0, 11, 11, 11):
        there.clock.advance(seconds)
        began = time.perf_counter()
        await ledger.glances.of(account)
        took.append(1000 * (time.perf_counter() - began))
    return {"glance_first_ms": took[0], "glance_ms": min(took[1:])}


async def _served(app: ASGIApp, path: str, cookie: str) -> float:
    """Seconds from the request's head to the answer's last byte: the server alone, without a client or a socket."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"callreel.test"), (b"cookie", cookie.encode()), (b"accept-encoding", b"gzip")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
             "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "headers": headers,
             "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9), "state": {}}  # fmt: skip
    began = time.perf_counter()
    await app(scope, receive, send)
    took = time.perf_counter() - began
    html = gzip.decompress(b"".join(message.get("body", b"") for message in sent))
    assert html.count(b"<tr id=") == 50
    return took


async def in_a_browser(there: Town) -> dict[str, Any]:
    """First load, paint, and Play on an hour of two channels in the bucket."""
    hour = speech(60, seed=5, channels=2)
    head, data = hour[:44], hour[44:] * (HOUR_S // 60)
    size = len(data)
    body = head[:4] + (size + 36).to_bytes(4, "little") + head[8:40] + size.to_bytes(4, "little") + data
    recording = await there.stage.carry_until_settled(await there.stage.take_in(body))
    assert CHROMIUM is not None
    async with async_playwright() as playwright:
        chrome = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--mute-audio"])
        page = await chrome.new_page()
        await seat(page, OWNER, there.parts)
        got: list[tuple[str, int]] = []
        wire = await page.context.new_cdp_session(page)
        await wire.send("Network.enable")
        wire.on("Network.loadingFinished", lambda e: got.append((e["requestId"], int(e["encodedDataLength"]))))
        await page.goto(f"{there.base}/console/recordings")
        await page.wait_for_load_state("networkidle")
        weight = sum(size for _, size in got)
        began = time.perf_counter()
        await page.goto(f"{there.base}/console/recordings/{recording.sid}")
        await expect(page.locator("reel-player")).to_have_attribute("data-peaks", str(HOUR_S * 20), timeout=60_000)
        first_peaks_s = time.perf_counter() - began
        firsts, fetched = [], []
        for _ in range(5):
            await page.reload()
            await page.wait_for_load_state("networkidle")
            got.clear()
            player = page.locator("reel-player")
            await page.click("[data-play]")
            await expect(player).to_have_attribute("data-first-sound-ms", re.compile(".+"))
            firsts.append(float(str(await player.get_attribute("data-first-sound-ms"))))
            fetched.append(int(str(await player.get_attribute("data-first-sound-bytes"))))
        paints = [await first_paint(chrome, there) for _ in range(7)]
        await chrome.close()
    return {
        "first_load_bytes_on_the_wire": weight,
        "largest_contentful_paint_ms": statistics.median(paint for paint, _ in paints),
        "largest_contentful_paint_least_ms": min(paint for paint, _ in paints),
        "browsers_cpu_for_the_page_ms": round(statistics.median(cpu for _, cpu in paints), 1),
        "first_waveform_of_an_hour_s": round(first_peaks_s, 2),
        "play_to_first_sound_ms": statistics.median(firsts),
        "bytes_asked_of_the_bucket_before_first_sound": max(fetched),
    }


async def first_paint(chrome: Chrome, there: Town) -> tuple[float, float]:
    """Largest contentful paint of the list in a browser that has nothing of it, and what its main thread worked; ms.

    A paint waits for a processor like everything else: on a busy machine the second number says what it takes.
    """
    context = await chrome.new_context()
    page = await context.new_page()
    await seat(page, OWNER, there.parts)
    wire = await context.new_cdp_session(page)
    await wire.send("Performance.enable", {"timeDomain": "threadTicks"})
    await page.goto(f"{there.base}/console/recordings")
    await page.wait_for_load_state("networkidle")
    metrics = {each["name"]: each["value"] for each in (await wire.send("Performance.getMetrics"))["metrics"]}
    paint = float(await page.evaluate(_LCP))
    await context.close()
    return paint, 1000 * metrics["TaskDuration"]


async def main(rows: int = 1_000_000) -> None:
    """Print them all as one JSON document."""
    with tempfile.TemporaryDirectory() as home:
        async with town(Path(home), rows=50) as there:
            told: dict[str, Any] = await in_a_browser(there)
            await _many(there, rows)
            told |= {"rows": rows} | await list_page(there) | await at_a_glance(there)
            print(json.dumps(told, indent=2))


if __name__ == "__main__":
    asyncio.run(main(*(int(word) for word in sys.argv[1:])))
