"""The Matroska files we make ourselves."""

from __future__ import annotations

import pytest

from callreel.rehearsal.matroska_file import MATROSKA_CODECS, matroska


@pytest.mark.parametrize("codec", MATROSKA_CODECS)
def test_the_same_seed_gives_the_same_file_and_another_one_another(codec):
    assert matroska(2, seed=1, codec=codec) == matroska(2, seed=1, codec=codec)
    assert matroska(2, seed=1, codec=codec) != matroska(2, seed=2, codec=codec)


@pytest.mark.parametrize("codec", MATROSKA_CODECS)
def test_cues_point_at_clusters(codec):
    body = matroska(3.5, seed=1, codec=codec)
    segment = body.index(bytes.fromhex("18538067")) + 4 + 8
    cues = body.index(bytes.fromhex("1C53BB6B"))
    pointed = [at for at in range(cues, len(body)) if body[at] == 0xF1 and body[at + 1] & 0xF0 == 0x80]
    places = [segment + int.from_bytes(body[at + 2 : at + 2 + (body[at + 1] & 0x0F)], "big") for at in pointed]
    assert len(places) == 4
    assert all(body[at : at + 4] == bytes.fromhex("1F43B675") for at in places)


def test_a_negative_time_is_refused():
    with pytest.raises(ValueError, match="cannot last -1"):
        matroska(-1, seed=1, codec="OPUS")
