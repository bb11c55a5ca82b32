"""Twilio's three date filters, `X`, `X<` and `X>`, read as one stretch of time. The comparison is part of the name."""

from __future__ import annotations

from datetime import datetime, timedelta

from callreel.ledger.calls import Span
from callreel.web.forms import Parameters


def span_parameters(name: str) -> dict[str, str]:
    """The three parameters of a date filter, for an operation's description."""
    return {name: "text", f"{name}<": "text", f"{name}>": "text"}


def read_span(query: Parameters, name: str) -> Span:
    """The bounds the three filters leave together.

    `X<=D` is on or before D (midnight of a date), `X>=D` on or after it, `X=D` the GMT day. Raises
    `InvalidParameter` for what is no date.
    """
    lows, highs = [], []
    day = query.moment(name)
    if day is not None:
        midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
        lows.append(midnight)
        highs.append(_later(midnight, timedelta(days=1)))
    if (until := query.moment(f"{name}<")) is not None:
        highs.append(_later(until, timedelta(microseconds=1)))
    if (since := query.moment(f"{name}>")) is not None:
        lows.append(since)
    return Span(start=max(lows, default=None), stop=min(highs, default=None))


def _later(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return moment
