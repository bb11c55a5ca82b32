"""A sealed secret opens in its own place, whole, under its own master key, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callreel.errors import SealBroken
from callreel.sealing.keyring import Keyring
from callreel.sealing.master_key import MasterKey

OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
NAMES = st.text(st.characters(codec="utf-8"), max_size=12)
PLACES = st.fixed_dictionaries({"table": NAMES, "row": NAMES, "account": NAMES})
PLACE = {"table": "credentials", "row": "CR" + "1" * 32, "account": "AC" + "1" * 32}


@given(secret=st.binary(max_size=200), place=PLACES)
def test_what_was_sealed_opens_in_its_place(secret: bytes, place: dict[str, str]) -> None:
    ring = Keyring(OLD)
    assert ring.open(ring.seal(secret, **place), **place) == secret


@given(place=PLACES, other=PLACES)
def test_a_seal_moved_to_another_place_does_not_open(place: dict[str, str], other: dict[str, str]) -> None:
    ring = Keyring(OLD)
    sealed = ring.seal(b"secret", **place)
    if place != other:
        for use in (ring.open, ring.rewrap):
            with pytest.raises(SealBroken):
                use(sealed, **other)


def test_parts_of_a_place_do_not_run_into_each_other() -> None:
    ring = Keyring(OLD)
    sealed = ring.seal(b"secret", table="ab", row="c", account="d")
    with pytest.raises(SealBroken):
        ring.open(sealed, table="a", row="bc", account="d")


@given(secret=st.binary(max_size=40), data=st.data())
def test_any_flipped_bit_breaks_the_seal(secret: bytes, data: st.DataObject) -> None:
    ring = Keyring(OLD, [NEW])
    sealed = bytearray(ring.seal(secret, **PLACE))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    for use in (ring.open, ring.rewrap):
        with pytest.raises(SealBroken):
            use(bytes(sealed), **PLACE)


@given(secret=st.binary(max_size=40), data=st.data())
def test_any_truncation_or_addition_breaks_the_seal(secret: bytes, data: st.DataObject) -> None:
    ring = Keyring(OLD)
    sealed = ring.seal(secret, **PLACE)
    cut = data.draw(st.integers(0, len(sealed) - 1))
    for broken in (sealed[:cut], sealed[cut + 1 :], sealed + b"\0"):
        with pytest.raises(SealBroken):
            ring.open(broken, **PLACE)


@given(st.binary(max_size=300))
def test_what_was_never_sealed_does_not_open(noise: bytes) -> None:
    ring = Keyring(OLD)
    for text in (noise, b"CRS\x01" + OLD.id + noise):
        with pytest.raises(SealBroken):
            ring.open(text, **PLACE)


def test_the_halves_of_two_seals_do_not_fit_together() -> None:
    ring = Keyring(OLD)
    one, two = ring.seal(b"one", **PLACE), ring.seal(b"two", **PLACE)
    with pytest.raises(SealBroken):
        ring.open(one[:72] + two[72:], **PLACE)


def test_sealing_twice_gives_different_bytes() -> None:
    ring = Keyring(OLD)
    assert ring.seal(b"secret", **PLACE) != ring.seal(b"secret", **PLACE)


def test_rotation_opens_the_old_seals_and_the_new_and_then_does_without_the_old_key() -> None:
    sealed = Keyring(OLD).seal(b"secret", **PLACE)
    rotating = Keyring(NEW, [OLD])
    assert rotating.open(sealed, **PLACE) == b"secret"
    assert rotating.needs_rewrap(sealed)

    rewrapped = rotating.rewrap(sealed, **PLACE)
    assert not rotating.needs_rewrap(rewrapped)
    assert Keyring(NEW).open(rewrapped, **PLACE) == b"secret"
    with pytest.raises(SealBroken, match=NEW.id.hex()):
        Keyring(OLD).open(rewrapped, **PLACE)


def test_a_seal_of_an_unknown_master_key_names_the_key_it_needs() -> None:
    sealed = Keyring(OLD).seal(b"secret", **PLACE)
    with pytest.raises(SealBroken, match=OLD.id.hex()):
        Keyring(NEW).open(sealed, **PLACE)


def test_nothing_sealed_says_so_when_asked_about_rewrapping() -> None:
    with pytest.raises(SealBroken):
        Keyring(OLD).needs_rewrap(b"plain text")


def test_no_repr_and_no_seal_shows_a_secret() -> None:
    ring = Keyring(OLD, [NEW])
    assert "oooo" not in repr(ring) + repr(OLD) + str(OLD)
    assert b"o".hex() * 4 not in repr(ring) + repr(OLD)
    assert b"secret" not in ring.seal(b"secret", **PLACE)
