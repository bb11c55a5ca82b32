"""What a jump of the wall clock costs, and what earns the trust back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from callreel.model.time_trust import SANE_S, WHOLE, Beat, Trust, weigh_time

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def beat(wall_s: float, steady_s: float, boot: str = "a") -> Beat:
    return Beat(boot, NOON + timedelta(seconds=wall_s), 5000.0 + steady_s)


def test_the_first_heartbeat_is_believed() -> None:
    assert weigh_time(None, WHOLE, beat(0, 0)) == WHOLE


@pytest.mark.parametrize("wall_s", [600, 599 + 600, 1])
def test_clocks_that_agree_within_ten_minutes_are_trusted(wall_s: float) -> None:
    assert weigh_time(beat(0, 0), WHOLE, beat(wall_s, 600)).is_whole


@pytest.mark.parametrize(("wall_s", "steady_s"), [(601, 0), (-1, 60), (86400, 600), (-400 * 86400, 600)])
def test_a_jump_costs_the_trust_and_says_by_how_much(wall_s: float, steady_s: float) -> None:
    trust = weigh_time(beat(0, 0), WHOLE, beat(wall_s, steady_s))
    assert not trust.is_whole
    assert trust.lost_at == beat(wall_s, 0).wall
    assert str(round(abs(wall_s if wall_s < 0 else wall_s - steady_s))) in str(trust.why)


def test_after_a_boot_only_a_wall_clock_before_the_last_heartbeat_is_a_fault() -> None:
    assert weigh_time(beat(0, 0), WHOLE, beat(86400 * 30, -4000, "b")).is_whole
    assert not weigh_time(beat(0, 0), WHOLE, beat(-5, -4000, "b")).is_whole


def test_a_steady_clock_that_counts_anew_is_not_compared() -> None:
    assert weigh_time(beat(0, 0), WHOLE, beat(3600, -4000)).is_whole


def test_a_day_in_which_the_clocks_agree_earns_it_back_and_another_jump_begins_anew() -> None:
    trust = Trust(lost_at=NOON, why="jumped")
    trust = weigh_time(beat(0, 0), trust, beat(SANE_S - 60, SANE_S - 60))
    assert (trust.is_whole, trust.sane_s) == (False, SANE_S - 60)
    assert weigh_time(beat(0, 0), trust, beat(60, 60)) == WHOLE
    again = weigh_time(beat(0, 0), trust, beat(7200, 60))
    assert (again.is_whole, again.sane_s) == (False, 0.0)


def test_the_time_a_machine_was_off_earns_nothing() -> None:
    trust = Trust(lost_at=NOON, why="jumped", sane_s=60)
    assert weigh_time(beat(0, 0), trust, beat(86400 * 9, 0, "b")) == trust
