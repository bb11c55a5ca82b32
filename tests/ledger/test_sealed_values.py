"""The list of what a rotation has to reach is whole."""

from __future__ import annotations

from callreel.ledger.sealed_values import SEALED
from callreel.ledger.tables import metadata


def test_every_sealed_column_of_the_tables_is_in_the_list() -> None:
    there = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if column.name.endswith("_sealed")
    }
    assert there | {"installation.value"} == {column.name for column in SEALED}
