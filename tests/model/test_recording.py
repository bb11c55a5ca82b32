"""The map of a recording's life agrees with itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callreel.model.recording import (
    ARROWS,
    COMPLETED,
    NOTHING_TO_DO,
    OWED_EVENT,
    UNFINISHED,
    Job,
    State,
    next_job,
)
from callreel.model.storage_settings import FatalErrorPolicy, StorageSettings
from callreel.model.twilio_status import TWILIO_STATUS, twilio_status
from tests.recordings import NOON, a_recording

HOLD = StorageSettings()
DELETE = StorageSettings(fatal_error_policy=FatalErrorPolicy.DELETE)
WAITS_FOR_A_PERSON = {State.PARKED}
EVENTS = {"in-progress", "completed", "absent", "failed"}


def job_of(state: State, settings: StorageSettings = HOLD) -> Job | None:
    return next_job(state, settings=settings, next_attempt_at=NOON)


def test_every_state_has_its_arrows() -> None:
    assert set(ARROWS) == {None, *State}


def test_every_state_can_be_reached_from_nothing() -> None:
    reached: set[State] = set()
    following = set(ARROWS[None])
    while following:
        reached |= following
        following = {to for state in following for to in ARROWS[state]} - reached
    assert reached == set(State)


def test_every_state_leads_to_forgetting() -> None:
    for start in State:
        reached, following = {start}, {start}
        while following:
            following = {to for state in following for to in ARROWS[state]} - reached
            reached |= following
        assert State.PURGED in reached


def test_no_arrow_leads_back_from_the_end() -> None:
    assert ARROWS[State.PURGED] == frozenset()
    assert ARROWS[State.DELETED] == {State.PURGED, State.DELETING}  # again, for an object that remains
    assert ARROWS[State.DELETING] == {State.DELETED}


def test_only_a_row_without_media_is_forgotten() -> None:
    assert {state for state, to in ARROWS.items() if State.PURGED in to} == {State.ERASED, State.DELETED}


@pytest.mark.parametrize("state", sorted(UNFINISHED | {State.DELIVERED, State.DELETING}))
def test_every_unfinished_state_has_a_job_or_waits_for_a_person(state: State) -> None:
    assert job_of(state, DELETE) is not None or state in WAITS_FOR_A_PERSON


@pytest.mark.parametrize("state", sorted(NOTHING_TO_DO))
def test_a_state_with_nothing_to_do_asks_for_no_job(state: State) -> None:
    assert job_of(state) is None
    assert job_of(state, DELETE) is None


def test_a_held_recording_asks_for_no_job_and_one_to_be_erased_does() -> None:
    assert job_of(State.FATAL, HOLD) is None
    assert job_of(State.FATAL, DELETE) == Job("erase")


def test_only_steps_that_may_wait_are_put_off() -> None:
    put_off = {state for state in State if (job := job_of(state, DELETE)) and job.at is not None}
    assert put_off == {State.SPOOLED, State.SEALED, State.WAITING, State.DELIVERED, State.DELETING}


def test_events_are_twilios_and_belong_to_states_that_exist() -> None:
    assert set(OWED_EVENT.values()) == EVENTS


def test_every_state_has_a_status_of_twilios() -> None:
    assert set(TWILIO_STATUS) == set(State)
    assert {s for s in State if twilio_status(s) == "completed"} == COMPLETED | {State.AT_SOURCE}
    assert {twilio_status(s) for s in UNFINISHED - {State.FATAL}} == {"processing"}
    assert {twilio_status(s) for s in (State.FATAL, State.ERASED)} == {"failed"}
    assert {twilio_status(s) for s in (State.DELETING, State.DELETED, State.PURGED)} == {"deleted"}


def test_a_fatal_recording_is_held_only_under_that_policy() -> None:
    fatal = a_recording(state=State.FATAL)
    assert fatal.is_held
    assert not replace(fatal, settings=DELETE).is_held
    assert not a_recording(state=State.PARKED).is_held


@pytest.mark.parametrize(
    ("duration_ms", "seconds"), [(0, 0), (1, 1), (999, 1), (1499, 1), (1501, 2), (3_600_000, 3600)]
)
def test_anything_audible_lasts_at_least_a_second(duration_ms: int, seconds: int) -> None:
    assert a_recording(duration_ms=duration_ms).duration_s == seconds
