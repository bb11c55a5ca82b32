"""Each benchmark runs to its end on ten objects. Nothing is said about how fast."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from benchmarks.__main__ import Size, run
from benchmarks.delivery import CONTENDERS
from benchmarks.figures import Figure
from benchmarks.migration import MOVERS
from benchmarks.report import describe_machine, page_of

TINY = Size(
    large=10,
    small=10,
    uploads=10,
    rounds=1,
    whole_bytes=9 << 20,
    listed=2_000,
    spoken_s=10,
    moved=24,
    inventory=60,
    beside=4,
    parked=50,
)


async def _measured(name: str, root: Path) -> Figure:
    figure, server = await asyncio.to_thread(run, "embedded", TINY, name, root)
    assert server == "embedded"
    return figure


@pytest.mark.parametrize("name", ["delivery-100kb"])
async def test_every_contender_delivers_and_is_measured(name: str, tmp_path: Path) -> None:
    figure = await _measured(name, tmp_path)
    assert [row.name for row in figure.rows] == list(CONTENDERS)
    assert all(row.median_s > 0 and row.cpu_ms > 0 and row.peak_rss_bytes > 0 for row in figure.rows)
    assert len(figure.ratios) >= 4


async def test_uploads_over_http_are_measured_against_the_floor(tmp_path: Path) -> None:
    figure = await _measured("ingest", tmp_path)
    assert [row.name for row in figure.rows] == ["callreel, HTTP", "floor"]
    assert figure.ratios[0].value > 0


async def test_the_peak_of_memory_is_measured_for_both_loads(tmp_path: Path) -> None:
    figure = await _measured("memory", tmp_path)
    assert [ratio.value > 0 for ratio in figure.ratios] == [True, True]


@pytest.mark.parametrize("name", ["migration", "migration-far"])
async def test_every_mover_moves_and_is_measured(name: str, tmp_path: Path) -> None:
    figure = await _measured(name, tmp_path)
    assert [row.name for row in figure.rows] == list(MOVERS)
    assert all(ratio.value > 0 for ratio in figure.ratios)


async def test_the_memory_of_a_listing_is_measured_as_it_grows(tmp_path: Path) -> None:
    figure = await _measured("migration-memory", tmp_path)
    assert [ratio.value > 0 for ratio in figure.ratios] == [True] * 4


def test_a_result_becomes_a_page_that_names_machine_and_ratios() -> None:
    figure = Figure("deliveries", 10, (), ())
    document = {
        "server": "embedded",
        "at": "2026-11-21T12:00:00+00:00",
        "took_s": 1.0,
        "load_before": [0.0, 0.0, 0.0],
        "machine": describe_machine(),
        "figures": [figure.as_json()],
    }
    page = page_of(document)
    assert "### deliveries" in page
    assert f"{document['machine']['cores']} ×" in page  # type: ignore[index]
