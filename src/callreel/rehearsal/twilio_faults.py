"""Ways a source misbehaves: asked for one by one, or met at random by seed and share."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from callreel.rehearsal.s3_faults import STALL_S, Fault, Moment, RandomFaults

LIST, FETCH, MEDIA, DELETE, ACCOUNTS, CALLS = "List", "Fetch", "Media", "Delete", "Accounts", "Calls"
"""The operations faults are asked for by."""

_ASKING = frozenset({LIST, FETCH, MEDIA, CALLS})
_ALL: frozenset[str] = frozenset()

KINDS: dict[str, tuple[Moment, frozenset[str]]] = {
    "reset": (Moment.INSTEAD, _ALL),
    "stall": (Moment.INSTEAD, _ALL),
    "garbage": (Moment.INSTEAD, _ALL),
    "internal-error": (Moment.INSTEAD, _ALL),
    "bare-503": (Moment.INSTEAD, _ALL),
    "html-200": (Moment.INSTEAD, _ASKING),
    "html-403": (Moment.INSTEAD, _ALL),
    "too-many": (Moment.INSTEAD, _ALL),
    "redirect": (Moment.INSTEAD, _ASKING),
    "torn-media": (Moment.AFTERWARDS, frozenset({MEDIA})),
    "short-media": (Moment.AFTERWARDS, frozenset({MEDIA})),
    "long-media": (Moment.AFTERWARDS, frozenset({MEDIA})),
    "error-page": (Moment.AFTERWARDS, frozenset({MEDIA})),
    "error-page-as-audio": (Moment.AFTERWARDS, frozenset({MEDIA})),
    "not-ready": (Moment.AFTERWARDS, frozenset({MEDIA})),
    "delete-not-done": (Moment.INSTEAD, frozenset({DELETE})),
    "lost-answer": (Moment.AFTERWARDS, _ALL),
}
"""What can be met at random: name → when it strikes, and the operations it makes sense on (none: all)."""

LYING = ("delete-not-done",)
"""Never met unless asked for: 204 and nothing done is a fault that costs the customer money, and no client can see."""


def fault(name: str, *, retry_after_s: int | None = None, lasts_s: float | None = None) -> Fault:
    """A fault by its name in `KINDS`. Raises `ValueError` for another."""
    if name not in KINDS:
        raise ValueError(f"no such fault: {name}")
    return Fault(name, KINDS[name][0], retry_after_s=retry_after_s, lasts_s=lasts_s)


class RandomSourceFaults(RandomFaults):
    """A share of all requests meets one of these faults. The same seed and the same requests: the same faults."""

    def __init__(
        self, share: float, *, seed: int, kinds: Iterable[str] | None = None, stall_s: float = STALL_S
    ) -> None:
        """Raises `ValueError` for a share outside 0 to 1 and for kinds that are not in `KINDS`."""
        super().__init__(share, seed=seed, kinds=(), stall_s=stall_s)
        chosen = tuple(kinds) if kinds is not None else tuple(name for name in KINDS if name not in LYING)
        if unknown := set(chosen) - KINDS.keys():
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        self._chosen, self._chance, self._luck = chosen, share, Random(seed)
        self._stalls_s = stall_s

    def draw(self, operation: str) -> tuple[str, Fault] | None:
        """Name and fault for this request; None when it is spared."""
        hit, choice = self._luck.random() < self._chance, self._luck.random()
        fitting = [name for name in self._chosen if not KINDS[name][1] or operation in KINDS[name][1]]
        if not hit or not fitting:
            return None
        name = fitting[int(choice * len(fitting))]
        return name, fault(name, lasts_s=self._stalls_s if name == "stall" else None)
