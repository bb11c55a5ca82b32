"""Check that no query reaches past its account: every statement on rows of tenants names the account.

A statement of the ledger that selects, changes or deletes rows of a table of tenants must compare that table's account
column with something that is not another table's column, in the same function. What may see the rows of all accounts is
named below, each with its reason, and may not be called by a door. A new table without an account is a fault, and so
is SQL as text on a table of tenants.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Table

from callreel.ledger.tables import metadata

ROOT = Path(__file__).resolve().parent.parent
LEDGER = ROOT / "src" / "callreel" / "ledger"
DOORS = [ROOT / "src" / "callreel" / floor for floor in ("web", "console")]
_STATEMENTS = ("select", "update", "delete")
# The column that says whose row it is, where it is not `account_sid`.
_SCOPE_COLUMNS = {
    "accounts": ("sid", "owner_sid"),
    "audit": ("chain",),
    "audit_heads": ("chain",),
    "saved_views": ("user_sid",),
}

NO_TENANTS = {
    "installation": "values of the installation as a whole",
    "heartbeats": "the clocks of the installation's hosts",
    "quarantine": "files nobody can explain, and so nobody's",
}
"""Tables whose rows belong to no account."""

_OPERATOR = "the operator's view of the whole installation"
_SIGN_IN = "finds whose credential it is: the account is the answer"
_BY_ANOTHER = {"peaks", "deletion_items"}  # whose they are is said by the row they belong to: its account is asked for
_PERSON = "on the row of the person who signed in, by their own SID: one person may see several accounts"
_SESSION = "on the session that a cookie of 256 random bits opened"
_WORKER = "workers act for the installation, on the row that a job of ours names"
_RECOVERY = "recovery and the clockwork look at what there is, whoever owns it"
_BY_KEY = "reads by the key of a row that was found through its account"
_DELETER = "a bulk deletion's job, on the deletion that it names"
_MOVER = "the mover's jobs, on the item, source or migration that a job of ours names"

ALL_ACCOUNTS: dict[str, str] = {
    "accounts.Accounts.list_all": _OPERATOR,
    "accounts._ACCESS": _SIGN_IN,
    "audit.Audit._chains": _OPERATOR,
    "item_intake._adopt": _MOVER,
    "item_intake._KNOWN": _MOVER,
    "item_intake._TAKEN": _MOVER,
    "migrations.Migrations.find_for_work": _MOVER,
    "migrations.Migrations.is_live_for": _MOVER,
    "migrations.Migrations.list_unread": _MOVER,
    "migrations.Migrations.keep_page": _MOVER,
    "migrations.Migrations.note_rate": _MOVER,
    "migrations.Migrations.stop": _MOVER,
    "migrations.Migrations.explain": _MOVER,
    "migrations.Migrations.resume": _MOVER,
    "migrations.Migrations._change": _MOVER,
    "migrations.ended_if_done": _MOVER,
    "migrations._recount_bytes": _MOVER,
    "moved_items.MovedItems.learn": _MOVER,
    "moved_items.MovedItems.find": _MOVER,
    "moved_items.MovedItems.find_by_origin": _MOVER,
    "moved_items.MovedItems.list_due": _MOVER,
    "moved_items.MovedItems.next_due_at": _MOVER,
    "moved_items.MovedItems.sources_with_due_items": _MOVER,
    "moved_items.MovedItems.wake": _MOVER,
    "moved_items.MovedItems.wake_resting": _MOVER,
    "moved_items.MovedItems.has_resting": _MOVER,
    "moved_items.MovedItems.states_of": _MOVER,
    "moved_items.MovedItems.count_by_state": _MOVER,
    "moved_items._as_allowed": _MOVER,
    "moved_items._count": _MOVER,
    "moved_items._guarded_update": _MOVER,
    "examination.Examination": "the examiner of `callreel check`, which looks at everything",
    "calls.Calls.sources_to_ask": _MOVER,
    "calls.Calls.is_asking": _MOVER,
    "calls.Calls.claim_unnamed": _MOVER,
    "calls._WITH_CAMPAIGN": "the beginning of queries, each of which names the account",
    "campaigns._sids_of": "asks for pairs of account and name",
    "deletions.Deletions.find_for_work": _DELETER,
    "deletions.Deletions._items": _DELETER,
    "deletions.Deletions.record": _DELETER,
    "deletions.Deletions.finish": _DELETER,
    "deletions.Deletions.list_unfinished": _RECOVERY,
    "deletions.Deletions.drop_drafts": _RECOVERY,
    "deletions.Deletions.note_receipt": _DELETER,
    "deletions._OUTCOMES": _DELETER,
    "outbox.Outbox.list_due": _WORKER,
    "peaks.PeakShelf.forget": _WORKER,
    "people.People.find_by_email": _SIGN_IN,
    "people.People.set_password": _PERSON,
    "people.People.remove": _OPERATOR,
    "people.People.begin_session": _PERSON,
    "people.People.find_session": _SIGN_IN,
    "people._VISIT": _SIGN_IN,
    "people.People.see_session": _SESSION,
    "people.People.look_at": _SESSION,
    "people.People.end_session": _SESSION,
    "people.People.end_sessions_of": _PERSON,
    "people.People.take_kept_form": _SESSION,
    "people.People.list_views": _PERSON,
    "people.People.remove_view": _PERSON,
    "sources.Sources.find_for_work": _MOVER,
    "sources.Sources.list_all": _OPERATOR,
    "sources.Sources.claim_due": _MOVER,
    "forgotten.Forgotten.recordings": _RECOVERY,
    "account_keys._OF_CLOSED": _RECOVERY,
    "forgotten.Forgotten.of_host": _RECOVERY,
    "forgotten.Forgotten.tellings": _RECOVERY,
    "ledger.Ledger.forget_idempotency_keys": _RECOVERY,
    "moves._BEFORE_BIRTH": "a SID that was ever used is used by nobody again, whoever had it",
    "settings.SettingsBook.accounts_with_buckets": _RECOVERY,
    "outbox.Outbox.list_due_recordings": _RECOVERY,
    "recordings.Recordings.list_of_host": _RECOVERY,
    "recordings.Recordings.list_due_for_purge": _RECOVERY,
    "recordings.Recordings.accounts_with_stale_video": _RECOVERY,
    "recordings.Recordings.find_all_for_recovery": _RECOVERY,
    "recordings.Recordings.buried": _RECOVERY,
    "recordings.Recordings.count_by_state": "counts for the metrics, without a row",
    "recordings._BY_SID": _WORKER,
    "retention_classes.RetentionClasses.accounts_that_delete": _RECOVERY,
    "settings.SettingsBook.version": _BY_KEY,
    "video_tracks._TRACKS": _BY_KEY,
}
"""Functions that may see the rows of every account. None of them is called for a request of a tenant."""


FOR_DOORS = {
    "recordings.Recordings.count_by_state",
    *(place for place, why in ALL_ACCOUNTS.items() if why in (_PERSON, _SESSION, _SIGN_IN)),
}
"""What a door may call all the same: who is there is found before an account is known; the metrics show no row."""


def main() -> None:
    """Print every fault and end with 1 if there is one."""
    faults = [*table_faults(metadata.tables), *ledger_faults(LEDGER, ALL_ACCOUNTS), *door_faults(DOORS, ALL_ACCOUNTS)]
    for fault in faults:
        print(fault)
    print(f"{len(metadata.tables)} tables, {len(ALL_ACCOUNTS)} queries over all accounts, {len(faults)} faults")
    sys.exit(bool(faults))


def table_faults(tables: Mapping[str, Table]) -> Iterator[str]:
    """Tables that say of no row whose it is."""
    for name, table in tables.items():
        if not any(column in table.columns for column in _scopes(name)) and name not in {*NO_TENANTS, *_BY_ANOTHER}:
            yield f"tables.py: {name} has no account_sid; every row of a tenant says whose it is"


def ledger_faults(folder: Path, allowed: Mapping[str, str]) -> list[str]:
    """Every statement without its account in the files of a folder, and every permission nobody needs."""
    faults = []
    for path in sorted(folder.glob("*.py")):
        if path.name == "tables.py":
            continue
        for place, line, what in unscoped(ast.parse(path.read_text()), path.stem):
            if place not in allowed and place.rpartition(".")[0] not in allowed:
                faults.append(f"{path.name}:{line}: {place} {what}")
    return faults


def door_faults(folders: Sequence[Path], allowed: Mapping[str, str]) -> Iterator[str]:
    """Calls from a door to what sees the rows of all accounts."""
    text = (LEDGER / "ledger.py").read_text()
    names = {kind: attribute for attribute, kind in re.findall(r"self\.(\w+) = (\w+)\(", text)}
    calls = [
        rf"\.{names[parts[1]]}\.{parts[2] if len(parts) == 3 else '[a-z_]+'}\b"
        for place in allowed
        if len(parts := place.split(".")) > 1 and parts[1] in names and place not in FOR_DOORS
    ]
    for path in (path for folder in folders for path in sorted(folder.rglob("*.py"))):
        for found in re.finditer("|".join(calls), path.read_text()):
            yield f"{path.name}: {found[0][1:]} sees the rows of all accounts, and a door is for one"


def unscoped(module: ast.Module, name: str) -> Iterator[tuple[str, int, str]]:
    """Functions (and statements of the module itself) with more statements on tenants' tables than accounts named."""
    everywhere = dict(_aliases(*(node for node in module.body if isinstance(node, ast.Assign))))
    for place, unit in _units(module, name):
        aliases = everywhere | dict(_aliases(unit))
        made = [node for node in ast.walk(unit) if isinstance(node, ast.Call) and _tables_of(node, aliases)]
        named = sum(_names_account(node, aliases) for node in ast.walk(unit))
        if len(made) > named:
            tables = ", ".join(sorted({table for node in made for table in _tables_of(node, aliases)}))
            yield place, made[0].lineno, f"has {len(made)} statements on {tables} and names an account in {named}"
        for node in ast.walk(unit):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_raw_sql(node.value):
                yield place, node.lineno, "has SQL as text on a table of tenants"


def _units(module: ast.Module, name: str) -> Iterator[tuple[str, ast.AST]]:
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            yield from ((f"{name}.{node.name}.{getattr(inner, 'name', 'body')}", inner) for inner in node.body)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{name}.{node.name}", node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield f"{name}.{ast.unparse(targets[0])}", node


def _aliases(*units: ast.AST) -> Iterator[tuple[str, str]]:
    """`c = recordings.c` and `c, o = calls.c, outbox.c`."""
    for node in (inner for unit in units for inner in ast.walk(unit)):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        pairs = (
            zip(target.elts, value.elts, strict=False)
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            else [(target, value)]
        )
        for left, right in pairs:
            if isinstance(left, ast.Name) and isinstance(right, ast.Attribute) and right.attr in ("c", "columns"):
                root = _root(right)
                if root in metadata.tables:
                    yield left.id, root


def _tables_of(call: ast.Call, aliases: Mapping[str, str]) -> set[str]:
    """The tables of tenants that a `select`, `update` or `delete` is about, or a `select_from` where that says it."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "select_from":
        inner = _innermost(call.func.value)
        return _named_in(call, aliases) if isinstance(inner, ast.Call) and not _tables_of(inner, aliases) else set()
    if not isinstance(call.func, ast.Name) or call.func.id not in _STATEMENTS:
        return set()
    return _named_in(call, aliases)


def _named_in(call: ast.Call, aliases: Mapping[str, str]) -> set[str]:
    roots = {
        _root(inner) for arg in call.args for inner in ast.walk(arg) if isinstance(inner, (ast.Name, ast.Attribute))
    }
    tables = {aliases.get(root, root) for root in roots}
    return {table for table in tables if table in metadata.tables and table not in NO_TENANTS}


def _innermost(node: ast.AST) -> ast.AST:
    """The call a chain of methods begins with."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    return node


def _names_account(node: ast.AST, aliases: Mapping[str, str]) -> bool:
    """`table.c.account_sid == something`, where the something is not a column of another table."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
        sides = [node.left, node.comparators[0]]
        columns = [side for side in sides if _is_scope(side, aliases)]
        others = [side for side in sides if _table_of(side, aliases) is None]
        return bool(columns) and bool(others)
    return False


def _is_scope(node: ast.AST, aliases: Mapping[str, str]) -> bool:
    table = _table_of(node, aliases)
    return table is not None and isinstance(node, ast.Attribute) and node.attr in _scopes(table)


def _table_of(node: ast.AST, aliases: Mapping[str, str]) -> str | None:
    root = _root(node)
    table = aliases.get(root, root)
    return table if isinstance(node, ast.Attribute) and table in metadata.tables else None


def _scopes(table: str) -> tuple[str, ...]:
    return _SCOPE_COLUMNS.get(table, ("account_sid",))


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_raw_sql(text: str) -> bool:
    if not re.search(r"\b(SELECT|UPDATE|DELETE)\b", text):
        return False
    words = set(re.findall(r"\b(?:FROM|UPDATE|JOIN|INTO)\s+(\w+)", text))
    return bool(words & (set(metadata.tables) - set(NO_TENANTS)))


if __name__ == "__main__":
    main()
