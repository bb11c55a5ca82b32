"""What was measured, as values: rows of a table, and the ratios that matter with the reach set for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.child import Measured
from benchmarks.memory import Peak

MEMORY_REACH_BYTES = 200 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One contender over all rounds. Times in seconds, processor time in milliseconds for each object."""

    name: str
    walls_s: tuple[float, ...]
    median_s: float
    per_s: float
    cpu_ms: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of medians and how far it should reach, in words: `≤ 1.0` or `≥ 0.7`."""

    what: str
    value: float
    reach: str
    is_reached: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One table."""

    name: str
    count: int
    rows: tuple[Row, ...]
    ratios: tuple[Ratio, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def figure_of(name: str, taken: Mapping[str, Sequence[Measured]], *, count: int, ratios: Sequence[Ratio]) -> Figure:
    """A figure from what each contender took for `count` objects."""
    return Figure(name, count, tuple(_row(who, runs, count) for who, runs in taken.items()), tuple(ratios))


def _row(name: str, runs: Sequence[Measured], count: int) -> Row:
    middle = median(run.wall_s for run in runs)
    return Row(
        name,
        tuple(round(run.wall_s, 3) for run in runs),
        round(middle, 3),
        round(count / middle, 1),
        round(median(run.cpu_s for run in runs) / count * 1e3, 3),
        max(run.peak_rss_bytes for run in runs),
    )


def wall_ratio(taken: Mapping[str, Sequence[Measured]], ours: str, theirs: str, *, at_most: float) -> Ratio:
    """Our median wall time over theirs."""
    value = _middle(taken[ours]) / _middle(taken[theirs])
    return Ratio(f"wall, {ours} over {theirs}", round(value, 3), f"≤ {at_most}", value <= at_most)


def rate_ratio(taken: Mapping[str, Sequence[Measured]], ours: str, theirs: str, *, at_least: float) -> Ratio:
    """Our objects a second over theirs."""
    value = _middle(taken[theirs]) / _middle(taken[ours])
    return Ratio(f"rate, {ours} over {theirs}", round(value, 3), f"≥ {at_least}", value >= at_least)


def memory_figure(peaks: Sequence[Peak]) -> Figure:
    """The peaks as ratios of what the service may have resident."""
    ratios = [
        Ratio(
            f"peak of resident memory, MiB, {peak.load}",
            round(peak.peak_rss_bytes / (1 << 20), 1),
            f"≤ {MEMORY_REACH_BYTES >> 20}",
            peak.peak_rss_bytes <= MEMORY_REACH_BYTES,
        )
        for peak in peaks
    ]
    return Figure("memory of the service while it takes in and delivers", len(peaks), (), tuple(ratios))


def _middle(runs: Sequence[Measured]) -> float:
    return median(run.wall_s for run in runs)
