"""What the judges measured, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

SHOWN = 20  # violations of one judge that are printed


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what was to be reached, what was measured, and everything found against it."""

    figure: str
    reach: str
    measured: str
    violations: Sequence[str] = field(default=())


def show(rows: Sequence[Row], *, seed: int) -> None:
    """Print the table, then what was found and the seed that finds it again."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"callreel chaos, seed {seed}", title_justify="left")
    for name in ("", "figure", "reach", "measured"):
        table.add_column(name)
    for row in rows:
        table.add_row("✗" if row.violations else "✓", row.figure, row.reach, row.measured)
    console = Console(width=160)
    console.print(table)
    for row in rows:
        for violation in row.violations[:SHOWN]:
            console.print(f"✗ {violation}", markup=False)
    if any(row.violations for row in rows):
        console.print(f"Again: make chaos SEED={seed}", markup=False)
