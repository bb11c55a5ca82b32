"""Looking at what lies on disk, and putting aside what nobody can explain."""

from __future__ import annotations

import os

from callreel.model.sid import mint_sid
from callreel.spool.spool import Spool
from callreel.spool.survey import discard, put_in_quarantine, survey_ready, survey_tmp

NOW_S = 1_800_000_000.0


def test_every_file_is_found_with_its_age_and_size(spool: Spool) -> None:
    sid = mint_sid("RE")
    for name, size, age_s in ((sid, 3, 10), (f"{sid}.sealed.0123456789abcdef", 5, 20), ("strange", 0, 30)):
        path = spool.ready / name
        path.write_bytes(b"x" * size)
        os.utime(path, (NOW_S - age_s, NOW_S - age_s))
    found = {f.path.name: f for f in survey_ready(spool, now_s=NOW_S)}
    assert {name: (f.sid, f.is_sealed, f.age_s, f.size_bytes) for name, f in found.items()} == {
        sid: (sid, False, 10, 3),
        f"{sid}.sealed.0123456789abcdef": (sid, True, 20, 5),
        "strange": (None, False, 30, 0),
    }


def test_drafts_are_found_by_their_sid(spool: Spool) -> None:
    sid = mint_sid("RE")
    (spool.tmp / f"{sid}.0a1b2c3d").touch()
    (spool.tmp / f"{sid}.sealed.0a1b2c3d").touch()
    assert {f.sid for f in survey_tmp(spool, now_s=NOW_S)} == {sid}


def test_quarantine_keeps_every_file_under_a_name_of_its_own(spool: Spool) -> None:
    for body in (b"first", b"second"):
        (spool.ready / "x").write_bytes(body)
        (found,) = survey_ready(spool, now_s=NOW_S)
        put_in_quarantine(spool, found)
    assert sorted(p.read_bytes() for p in spool.quarantine.iterdir()) == [b"first", b"second"]
    assert list(spool.ready.iterdir()) == []


def test_discarding_twice_is_the_same_as_once(spool: Spool) -> None:
    (spool.ready / "x").touch()
    (found,) = survey_ready(spool, now_s=NOW_S)
    discard(spool, found)
    discard(spool, found)
    assert list(spool.ready.iterdir()) == []
