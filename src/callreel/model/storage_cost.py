"""What storing an account's recordings costs a month, class by class, and with lifecycle rules. Dollars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callreel.model.price_list import PriceList
from callreel.model.usage import CLASSES, StorageClass, UsageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCost:
    """A storage class: its price of a GB and month, what lies in it, what all of the account would cost in it."""

    of: StorageClass
    gb_month: float
    bytes_now: int
    monthly_cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeCost:
    """An age group in the class that fits it."""

    of: StorageClass
    bytes: int
    monthly_cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Rules by age: each group with its cost, their sum, and the same with everything in Standard."""

    steps: Sequence[AgeCost]
    monthly_cost: float
    monthly_cost_standard: float


def by_class(rows: Sequence[UsageRow], prices: PriceList) -> Sequence[ClassCost]:
    """Each class with what all of the account's bytes would cost in it, and what lies in it now."""
    total = size_of(rows)
    return [
        ClassCost(
            of=each,
            gb_month=prices.of_class(each.name),
            bytes_now=size_of([row for row in rows if row.storage_class == each.name]),
            monthly_cost=prices.in_class(each.name, total),
        )
        for each in CLASSES
    ]


def with_lifecycle(rows: Sequence[UsageRow], prices: PriceList) -> Lifecycle:
    """What rules by age would cost: each age group in the class that fits it."""
    sizes = [size_of([row for row in rows if row.age == age]) for age in range(len(CLASSES))]
    steps = [
        AgeCost(of=each, bytes=size, monthly_cost=prices.in_class(each.name, size))
        for each, size in zip(CLASSES, sizes, strict=True)
    ]
    return Lifecycle(
        steps=steps,
        monthly_cost=round(sum(step.monthly_cost for step in steps), 2),
        monthly_cost_standard=prices.in_class("STANDARD", size_of(rows)),
    )


def of_bucket(rows: Sequence[UsageRow], prices: PriceList) -> float:
    """What these cost in the classes they lie in."""
    names = {row.storage_class for row in rows}
    return round(
        sum(prices.in_class(name, size_of([row for row in rows if row.storage_class == name])) for name in names), 2
    )


def size_of(rows: Sequence[UsageRow]) -> int:
    """Bytes."""
    return sum(row.size_bytes for row in rows)
