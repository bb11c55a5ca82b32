"""Which class a recording is in, and what that asks of the bucket."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from callreel.errors import InvalidParameter, SettingsIncomplete
from callreel.model.object_lock import LockMode, lock_of
from callreel.model.retention_class import RetentionClass, in_order, with_lock_of
from callreel.model.sid import AccountSid, RetentionClassSid
from callreel.model.storage_settings import RecordingKind, StorageSettings

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ANY = RetentionClass(
    sid=RetentionClassSid("RC" + "0" * 32),
    account_sid=AccountSid("AC" + "0" * 32),
    friendly_name="any",
    position=5,
    date_created=NOW,
    date_updated=NOW,
)
LOCKED = replace(ANY, position=1, source="Voicemail", lock_mode=LockMode.COMPLIANCE, lock_days=30)
GOVERNED = StorageSettings(object_lock_mode="GOVERNANCE", object_lock_days=1)


@pytest.mark.parametrize(
    ("each", "fits"),
    [
        (ANY, True),
        (replace(ANY, kind=RecordingKind.VOICE), True),
        (replace(ANY, kind=RecordingKind.VIDEO), False),
        (replace(ANY, source="RecordVerb"), True),
        (replace(ANY, source="Voicemail"), False),
        (replace(ANY, campaign="spring"), True),
        (replace(ANY, campaign="autumn"), False),
        (replace(ANY, source="RecordVerb", campaign="autumn"), False),
    ],
)
def test_a_class_fits_when_all_it_names_are_the_recordings(each: RetentionClass, fits: bool) -> None:
    assert each.fits(kind=RecordingKind.VOICE, source="RecordVerb", campaign="spring") is fits


def test_the_lower_position_comes_first_and_of_two_alike_the_older() -> None:
    older = replace(ANY, date_created=NOW - timedelta(days=1))
    assert in_order([ANY, LOCKED, older]) == [LOCKED, older, ANY]


def test_the_lock_of_the_first_class_that_fits_overrides_the_settings() -> None:
    settings = with_lock_of(GOVERNED, [LOCKED, ANY], kind=RecordingKind.VOICE, source="Voicemail", campaign=None)
    lock = lock_of(settings, date_created=NOW, now=NOW)
    assert lock is not None
    assert (lock.mode, lock.retain_until) == (LockMode.COMPLIANCE, NOW + timedelta(days=30))


def test_a_class_without_a_lock_leaves_the_settings_lock_and_hides_the_classes_behind_it() -> None:
    behind = replace(LOCKED, position=9, source=None)
    assert with_lock_of(GOVERNED, [ANY, behind], kind=RecordingKind.VOICE, source="x", campaign=None) is GOVERNED


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"friendly_name": ""}, InvalidParameter),
        ({"keep_days": 0}, InvalidParameter),
        ({"lock_days": 7}, SettingsIncomplete),
        ({"lock_mode": LockMode.GOVERNANCE}, SettingsIncomplete),
        ({"lock_mode": LockMode.GOVERNANCE, "lock_days": 8, "keep_days": 7}, InvalidParameter),
    ],
)
def test_what_cannot_be_kept_is_refused(values: dict[str, object], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        replace(ANY, **values).check()  # type: ignore[arg-type]
