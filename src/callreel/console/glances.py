"""A glance in words: what stands beside the pages' names, in the bucket's box, in the tabs and above the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from callreel.console.recording_filters import STATUSES
from callreel.console.words import hours, number, since, took
from callreel.model.glance import MOST_COUNTED, NEWEST, Glance
from callreel.model.recording import State

_UPLOADING = tuple(STATUSES["uploading"][1])
_WIDTH, _HEIGHT, _EDGE = 84, 30, 2


@dataclass(frozen=True, slots=True)
class Count:
    """A number beside a word; `tone` is empty, `alert` or `run`."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """A number of the first page: its name, the number and its unit, a line below; `dot` is a colour or empty."""

    id: str
    name: str
    value: str
    unit: str = ""
    more: str = ""
    dot: str = ""
    link: str = ""
    curve: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How the account's bucket does, as far as its newest deliveries tell; `tone` is ok, warn or off."""

    title: str
    tone: str
    more: str
    bucket: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """All of a glance in words. Of a glance nobody took yet everything is empty."""

    pages: Mapping[str, Count] = field(default_factory=dict)
    tabs: Mapping[str, Count] = field(default_factory=dict)
    tiles: Sequence[Tile] = ()
    health: Health | None = None
    is_known: bool = False


NOTHING_SEEN = Look(tiles=tuple(Tile(f"t{n}", name, "—") for n, name in enumerate(
    ("Recorded, last 24 h", "Delivered", "Uploading now", "Parked"))))  # fmt: skip


def look_of(glance: Glance | None) -> Look:
    """The words of a glance; those for nothing seen yet where there is none."""
    if glance is None:
        return NOTHING_SEEN
    return Look(_pages(glance), _tabs(glance), _tiles(glance), _health(glance), is_known=True)


def _pages(glance: Glance) -> dict[str, Count]:
    told = {"recordings": Count(number(glance.recordings)), "credentials": Count(number(glance.credentials))}
    if glance.stuck:
        told["deliveries"] = Count(_capped(glance.stuck), "alert")
    if glance.moving is not None:
        told["migration"] = Count(f"{int(glance.moving)}%", "run")
    return told


def _tabs(glance: Glance) -> dict[str, Count]:
    told = {}
    for name in ("attention", "uploading", "held"):
        count = glance.count(*STATUSES[name][1])
        if count:
            told[name] = Count(_capped(count), "alert" if name == "attention" else "")
    return told


def _tiles(glance: Glance) -> tuple[Tile, ...]:
    parked, held, uploading = glance.count(State.PARKED), glance.count(State.FATAL), glance.count(*_UPLOADING)
    oldest, share, median = glance.oldest(*_UPLOADING), glance.stored_share, glance.median_s
    outside = any(each.is_external for each in glance.newest)
    behind = f"median {took(median)} after it came in" if median is not None else "none is stored yet"
    review = "Review and restart" if parked else f"{number(held)} held" if held else "Nothing waits for you"
    return (
        Tile(
            "t0",
            "Recorded, last 24 h",
            number(glance.recorded),
            more=f"{hours(glance.recorded_ms)} of audio",
            curve=curve([count for count, _ in glance.hours]),
        ),
        Tile(
            "t1",
            "Delivered to your bucket" if outside else "Stored",
            "—" if share is None else percent(share),
            "" if share is None else "%",
            more=behind + (f", of the newest {number(NEWEST)}" if len(glance.newest) == NEWEST else ""),
            dot="teal",
        ),
        Tile(
            "t2",
            "Uploading now",
            _capped(uploading),
            more=f"oldest came in {since(oldest, glance.as_of)} ago" if oldest else "Nothing is on its way",
            dot="up",
        ),
        Tile(
            "t3",
            "Parked",
            _capped(parked),
            more=review,
            dot="warn" if parked or held else "ok",
            link="/deliveries?status=parked" if parked else "/deliveries?status=held" if held else "",
        ),
    )


def _health(glance: Glance) -> Health | None:
    trouble = glance.trouble
    written, bucket = glance.last_write or (None, "")
    if trouble is not None and (written is None or trouble.at > written):
        said = f"{trouble.code}, {since(trouble.at, glance.as_of)} ago"
        return Health("Your bucket does not take it", "warn", said, bucket)
    if written is not None:
        return Health("Bucket reachable", "ok", f"Last write {since(written, glance.as_of)} ago", bucket)
    return None


def percent(share: float) -> str:
    """99.97, 100: never rounded up to all."""
    return "100" if share == 100 else f"{int(share * 100) / 100:.2f}"


def curve(values: Sequence[int]) -> str:
    """The path of a small curve through these values, in a box of 84 by 30; empty where there is nothing to show."""
    top = max(values, default=0)
    if top == 0 or len(values) < 2:
        return ""
    step, span = _WIDTH / (len(values) - 1), _HEIGHT - 2 * _EDGE
    points = [f"{n * step:.1f} {_HEIGHT - _EDGE - span * value / top:.1f}" for n, value in enumerate(values)]
    return "M" + "L".join(points)


def _capped(count: int) -> str:
    return number(count) if count <= MOST_COUNTED else f"{number(MOST_COUNTED)}+"
