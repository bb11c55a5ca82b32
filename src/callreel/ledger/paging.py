"""Keyset pages: where a page begins is a place in the order, not a number of rows to skip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.sql.elements import ColumnElement

Row = TypeVar("Row")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """A place between two rows of a list that is ordered newest first: just after, or just before, this row."""

    date_created: datetime
    sid: str
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows in order, and whether there are more on either side."""

    rows: Sequence[Row]
    has_next: bool
    has_previous: bool


def at_place(
    query: Select[Any],
    date_created: ColumnElement[datetime],
    sid: ColumnElement[str],
    *,
    place: Place | None,
    size: int,
) -> Select[Any]:
    """The query for one page and one row more, which tells whether another page follows."""
    key = tuple_(date_created, sid)
    if place is None:
        return query.order_by(date_created.desc(), sid.desc()).limit(size + 1)
    if place.backward:
        return query.where(key > (place.date_created, place.sid)).order_by(date_created, sid).limit(size + 1)
    return query.where(key < (place.date_created, place.sid)).order_by(date_created.desc(), sid.desc()).limit(size + 1)


def make_page(rows: Sequence[Row], *, place: Place | None, size: int) -> Page[Row]:
    """Cut the row too many and turn a backward page round."""
    more = len(rows) > size
    kept = list(rows[:size])
    if place is not None and place.backward:
        kept.reverse()
        return Page(kept, has_next=True, has_previous=more)
    return Page(kept, has_next=more, has_previous=place is not None)


def microseconds(moment: datetime) -> int:
    """A moment as whole microseconds since 1970, exact in both directions."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """The moment of `microseconds`. Raises `OverflowError` for a count no calendar has."""
    return _EPOCH + timedelta(microseconds=count)
