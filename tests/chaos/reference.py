"""A reference of the protocol in plain words: no disk, wire or database. What `docs/durability.md` says, and no more.

Times are seconds since the example began. Chance is taken at its worst: every wait is as long as it may be.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

WINDOW_S, BASE_S, CAP_S = 60.0, 5.0, 20.0
CONFIRM_S = 5.0
KEY_REMEMBERED_S = 5.0  # a worker that has opened a credential goes on using it for so long
RETENTION_S = 40 * 86_400.0
KEYS_KEPT_S = 7 * 86_400.0  # a client that repeats a request after a week means another one

TOO_SHORT, NO_KEY, MISCONFIGURED, DENIED = 16101, 16105, 16111, 16112
OWED = {
    "spooled": "in-progress",
    "absent": "absent",
    "delivered": "completed",
    "parked": "failed",
    "fatal": "failed",
}
STATUS = {"absent": "absent", "delivered": "completed", "released": "completed", "fatal": "failed", "erased": "failed"}
ONE_FILE = frozenset({"spooled", "sealed", "waiting", "parked", "fatal"})

STUMBLES = frozenset(
    {"reset", "reset-in-body", "garbage", "slow-down", "proxy-403", "internal-error", "bare-503", "ok-with-error"}
)
STORED_STUMBLES = frozenset({"lost-answer", "torn-head", "torn-body", "wrong-etag", "wrong-checksum"})
REFUSALS = frozenset({"access-denied"})
SPOILED_ANSWERS = frozenset({"wrong-etag", "wrong-checksum"})  # a refusal stays one, whatever ETag it has
FAULTS = sorted(STUMBLES | STORED_STUMBLES | REFUSALS)
CRASHES = ("C7", "C8", "C11", "C12", "C13", "C14", "C17")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the account chose; a recording keeps what was chosen when it came."""

    external: bool = True
    credential: str = "good"
    encrypted_for: str | None = None
    erases: bool = False


@dataclass(slots=True)
class Event:
    name: str
    state: str = "due"
    attempts: int = 0
    spent_s: float = 0.0
    at: float = 0.0


@dataclass(slots=True)
class Known:
    """One recording."""

    state: str
    wish: Wish
    wants_events: bool
    code: int | None = None
    attempts: int = 0
    spent_s: float = 0.0
    wait_s: float = 0.0
    due_at: float = 0.0
    refused_at: float | None = None
    mismatches: int = 0
    is_sealed: bool = False
    in_bucket: bool = False
    is_hosted: bool = False
    file_is_gone: bool = False
    purge_at: float | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def files(self) -> int:
        return int(self.state in ONE_FILE or (self.state in ("delivered", "deleting") and not self.file_is_gone))

    def enter(self, state: str) -> None:
        self.state = state
        event = OWED.get(state)
        if event and self.wants_events and event not in [e.name for e in self.events]:
            self.events.append(Event(event))


@dataclass(slots=True)
class Reference:
    """Everything the outside can ask for."""

    now: float = 0.0
    wish: Wish = field(default_factory=Wish)
    credentials: set[str] = field(default_factory=lambda: {"good", "wrong"})
    """Those that were not removed. The bucket knows the good ones."""
    remembered: dict[str, float] = field(default_factory=dict)
    public_keys: set[str] = field(default_factory=set)
    recordings: dict[str, Known] = field(default_factory=dict)
    keys: dict[str, tuple[str, int]] = field(default_factory=dict)
    claimed_at: dict[str, float] = field(default_factory=dict)
    """When each key was used first."""
    receiver_is_up: bool = True
    mismatches_that_park: float = inf
    """In a row: a bucket that contradicts itself so often is not cured by trying on."""
    orphans: int = 0
    """Files of uploads that were never answered: nobody's, until a person looks."""

    # --- What people do ----------------------------------------------------------------------------------------------

    def answer_upload(self, key: str | None, body: int) -> str:
        """What the client is told: `new`, `again`, `conflict`, or `gone` for one that was purged since."""
        if key is None or key not in self.keys:
            return "new"
        sid, first = self.keys[key]
        if first != body:
            return "conflict"
        return "again" if sid in self.recordings else "gone"

    def take_in(self, sid: str, key: str | None, body: int, *, silent: bool, wants_events: bool) -> None:
        known = Known("", self.wish, wants_events, code=TOO_SHORT if silent else None)
        known.enter("absent" if silent else "spooled")
        known.is_sealed = not silent and self.wish.encrypted_for in self.public_keys  # encrypted as it came
        self.recordings[sid] = known
        if key is not None:
            self.keys[key], self.claimed_at[key] = (sid, body), self.now

    def restart(self, known: Known) -> bool:
        if known.state != "parked" and not (known.state == "fatal" and not known.wish.erases):
            return False
        known.wish, known.code, known.attempts, known.refused_at = self.wish, None, 0, None
        known.spent_s = known.wait_s = known.due_at = 0.0
        known.enter("sealed" if known.is_sealed else "spooled")
        return True

    def answer_delete(self, known: Known | None) -> int:
        if known is None or known.state in ("deleting", "deleted"):
            return 404
        if known.state not in ("delivered", "released"):
            return 409
        known.state, known.attempts, known.spent_s, known.wait_s = (
            "deleting",
            0,
            0.0,
            0.0,
        )  # a removal has its own window
        return 204

    def purge(self) -> None:
        self.keys = {key: first for key, first in self.keys.items() if self.claimed_at[key] >= self.now - KEYS_KEPT_S}
        self.recordings = {
            sid: known for sid, known in self.recordings.items() if known.purge_at is None or known.purge_at > self.now
        }

    # --- What a worker does ------------------------------------------------------------------------------------------

    def carry(self, known: Known, fault: str | None = None, crash: str | None = None) -> bool:
        """One job. True when the process died of the crash point on the way."""
        while True:
            before = known.state
            if before == "spooled":
                dead = self._seal(known, crash)
            elif before in ("sealed", "waiting") and known.due_at <= self.now:
                dead, fault = self._deliver(known, fault, crash), None
            elif before == "delivered":
                dead = crash in ("C13", "C14")
                known.file_is_gone = known.file_is_gone or crash == "C14" or not dead
                known.state = before if dead else "released"
            elif before == "fatal" and known.wish.erases:
                dead, known.state, known.purge_at = False, "erased", self.now + RETENTION_S
            elif before == "deleting":
                dead, known.file_is_gone = crash == "C17", True
                known.is_hosted = known.is_hosted and known.wish.external
                if not dead:
                    known.state, known.purge_at = "deleted", self.now + RETENTION_S
            else:
                return False
            if dead:
                self.recover()
                return True

    def _seal(self, known: Known, crash: str | None) -> bool:
        key = None if known.is_sealed else known.wish.encrypted_for
        if key is not None and key not in self.public_keys:
            known.code = NO_KEY
            known.enter("fatal")
            return False
        if key is not None and crash == "C7":
            return True
        known.is_sealed = True
        known.enter("sealed")
        return crash == "C8"

    def _deliver(self, known: Known, fault: str | None, crash: str | None) -> bool:
        known.attempts += 1
        known.spent_s, known.wait_s = known.spent_s + known.wait_s, 0.0
        if known.wish.external:
            name = known.wish.credential
            if self.remembered.get(name, -1.0) <= self.now:
                if name not in self.credentials:
                    return self._refused(known, MISCONFIGURED)
                self.remembered[name] = self.now + KEY_REMEMBERED_S
            knows = name.startswith("good")
            if fault in REFUSALS:
                return self._refused(known, DENIED)
            if not knows and (fault is None or fault in SPOILED_ANSWERS):
                return self._refused(known, MISCONFIGURED)
            known.in_bucket = known.in_bucket or (knows and fault not in STUMBLES)
            if fault is not None:
                return self._stumbled(known, is_mismatch=fault in SPOILED_ANSWERS)
        else:
            known.is_hosted = True
        if crash in ("C11", "C12"):
            known.state = "uploading"
            return True
        known.code = known.refused_at = None
        known.enter("delivered")
        return False

    def _stumbled(self, known: Known, *, is_mismatch: bool) -> bool:
        known.refused_at = None
        known.mismatches = known.mismatches + 1 if is_mismatch else 0
        if known.spent_s >= WINDOW_S or known.mismatches >= self.mismatches_that_park:
            return self._park(known)
        known.state, known.wait_s = "waiting", min(CAP_S, BASE_S * 2.0**known.attempts)
        known.due_at = self.now + known.wait_s
        return False

    def _refused(self, known: Known, code: int) -> bool:
        known.mismatches = 0
        if known.refused_at is not None and self.now - known.refused_at >= CONFIRM_S:
            known.code = code
            known.enter("fatal")
            return False
        if known.spent_s >= WINDOW_S:
            return self._park(known)
        known.refused_at = known.refused_at if known.refused_at is not None else self.now
        known.state, known.wait_s, known.due_at = "waiting", CONFIRM_S, self.now + CONFIRM_S
        return False

    def _park(self, known: Known) -> bool:
        known.code, known.refused_at, known.wait_s, known.mismatches = MISCONFIGURED, None, 0.0, 0
        known.enter("parked")
        return False

    def recover(self) -> None:
        """A lease is not a truth."""
        for known in self.recordings.values():
            if known.state == "uploading":
                known.state, known.due_at, known.mismatches = "waiting", self.now, 0

    def tell(self, known: Known) -> None:
        """In order; one that waits keeps those behind it waiting."""
        for event in [e for e in known.events if e.state == "due"]:
            if event.at > self.now:
                return
            event.attempts += 1
            if self.receiver_is_up:
                event.state = "sent"
            elif event.spent_s >= WINDOW_S:
                event.state = "failed"
            else:
                wait_s = min(CAP_S, BASE_S * 2.0**event.attempts)
                event.at, event.spent_s = self.now + wait_s, event.spent_s + wait_s
                return

    def choose(self, **changes: object) -> bool:
        """False for settings that name what was removed; then the old ones stay."""
        wish = replace(self.wish, **changes)  # type: ignore[arg-type]
        has_key = wish.encrypted_for is None or wish.encrypted_for in self.public_keys
        if wish.credential not in self.credentials or not has_key:
            return False
        self.wish = wish
        return True


def status_of(known: Known) -> tuple[int, str | None, int | None]:
    """What a GET answers: HTTP status, Twilio's status, error code."""
    if known.state in ("deleting", "deleted"):
        return 404, None, None
    status = STATUS.get(known.state, "processing")
    return 200, status, known.code if status in ("absent", "failed") else None
