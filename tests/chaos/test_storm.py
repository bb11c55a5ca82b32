"""A short storm in the suite; `make chaos` lets the long one loose."""

from __future__ import annotations

import pytest

from tests.chaos.storm import Weather, storm

pytestmark = pytest.mark.xdist_group("storm")


async def test_nothing_is_lost_in_a_storm_of_crashes_and_lies() -> None:
    weather = Weather(
        recordings=40,
        seed=4,
        per_s=20,
        pause_s=(0.8, 1.2),
        stall_s=1.0,
        deleted_share=0.15,
        large_every=25,
        callbacks_awaited=False,
        limit_s=300,
        quiet_s=300,
    )
    outcome = await storm(weather)
    assert outcome.violations == []
    assert outcome.acknowledged == 40
    assert outcome.kills["service"] >= 2
    assert outcome.delivered + outcome.deleted == 40
