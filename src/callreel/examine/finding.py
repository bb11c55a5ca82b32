"""What an examination finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A promise that does not hold: which invariant, of what, and in what way."""

    invariant: str
    subject: str
    text: str

    @property
    def line(self) -> str:
        return f"{self.invariant}: {self.subject} {self.text}"

    def as_json(self) -> dict[str, str]:
        return {"invariant": self.invariant, "subject": self.subject, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What could not be looked at, or is worth a look and breaks no promise. Equal ones are told once, with a count."""

    invariant: str
    subject: str
    text: str

    def as_json(self, count: int) -> dict[str, str | int]:
        return {"invariant": self.invariant, "subject": self.subject, "text": self.text, "count": count}


Finding = Violation | Note
