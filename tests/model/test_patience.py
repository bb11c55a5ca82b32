"""How long to wait, and when to stop trying."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from callreel.model.patience import CAP_S, WINDOW_S, Park, Patience, TryAgainIn


class Highest(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest(Random):
    def uniform(self, a: float, b: float) -> float:
        return a


def waits(rng: Random, attempts: int, *, spent_s: float = 0.0, asked_s: float | None = None) -> float:
    decision = Patience().after_a_stumble(attempts, spent_s, rng, asked_s=asked_s)
    assert isinstance(decision, TryAgainIn)
    return decision.seconds


def test_the_ceiling_doubles_up_to_five_minutes() -> None:
    assert [waits(Highest(), n) for n in (1, 2, 3, 8, 9, 1000)] == [2, 4, 8, 256, 300, 300]


def test_jitter_goes_down_to_nothing() -> None:
    assert waits(Lowest(), 5) == 0


def test_retry_after_is_obeyed_up_to_the_cap() -> None:
    assert waits(Lowest(), 1, asked_s=17) == 17
    assert waits(Lowest(), 1, asked_s=86400) == CAP_S
    assert waits(Highest(), 9, asked_s=1) == 300


def test_after_two_hours_it_waits_for_a_person() -> None:
    assert waits(Random(1), 50, spent_s=WINDOW_S - 0.001) <= CAP_S
    assert Patience().after_a_stumble(50, WINDOW_S, Random(1)) == Park()
    assert Patience().after_a_stumble(1, WINDOW_S + 9999, Random(1), asked_s=1) == Park()


@given(st.integers(1, 10**6), st.floats(0, WINDOW_S - 1), st.none() | st.floats(0, 1e9), st.integers())
def test_no_wait_is_longer_than_the_cap(attempts: int, spent_s: float, asked_s: float | None, seed: int) -> None:
    assert 0 <= waits(Random(seed), attempts, spent_s=spent_s, asked_s=asked_s) <= CAP_S
