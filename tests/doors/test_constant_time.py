"""Secrets are compared in constant time, and a stranger cannot tell by the work done whether somebody exists."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from callreel.errors import NotAuthenticated
from callreel.model.account import Account
from callreel.model.person import Role
from callreel.parts import Parts
from callreel.sealing import passwords, tokens
from callreel.steps.admit_person import admit_person
from callreel.steps.authenticate import authenticate
from callreel.steps.sign_in import know_person
from tests.web.conftest import UNKNOWN

SOURCES = Path(inspect.getfile(Parts)).parent
SECRET = re.compile(r"(^|_)(token|secret|signature|mac|password|csrf|hmac|pepper|ticket)$|(^|_)digest$")
NOT_OURS = {"rehearsal"}  # stand-ins: they know the secrets they compare, and so does whoever runs them


def name_of(node: ast.expr) -> str:
    """What a value is called where it is compared: `a.b["c"]` is c, `f(x)` is f."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        return str(node.slice.value) if isinstance(node.slice, ast.Constant) else name_of(node.value)
    if isinstance(node, ast.Call):
        return name_of(node.func)
    return node.id if isinstance(node, ast.Name) else ""


def comparisons(tree: ast.AST) -> Iterator[ast.Compare]:
    """Every `==`, `!=` and `in`, but those of columns, which PostgreSQL looks up by an index over digests."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(
            isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops
        ):
            operands = [node.left, *node.comparators]
            is_of_columns = any(
                isinstance(one, ast.Attribute) and isinstance(one.value, ast.Attribute) and one.value.attr == "c"
                for one in operands
            )
            is_with_a_word = any(isinstance(one, ast.Constant) for one in operands)  # a literal is no secret
            if not is_of_columns and not is_with_a_word:
                yield node


def found_in(source: str) -> list[int]:
    """The lines on which something called like a secret is compared by `==`."""
    return [
        node.lineno
        for node in comparisons(ast.parse(source))
        if any(SECRET.search(name_of(one)) for one in [node.left, *node.comparators])
    ]


def test_no_secret_is_compared_by_equality() -> None:
    found = [
        f"{path.relative_to(SOURCES)}:{line}"
        for path in SOURCES.rglob("*.py")
        if path.relative_to(SOURCES).parts[0] not in NOT_OURS
        for line in found_in(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    ["given == token", "a.mac != right", "form['csrf'] == x", "digest(x) == kept", "self.auth_token in known",
     "x == row['secret_digest']"],
)  # fmt: skip
def test_the_lint_finds_what_it_looks_for(line: str) -> None:
    assert found_in(line) == [1]
    assert found_in("hmac.compare_digest(a, token)\ntoken is None\ntoken == ''\nsessions.c.digest == digest") == []


async def test_basic_does_the_same_work_for_unknown_accounts_and_wrong_tokens(
    parts: Parts, account: tuple[Account, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = list[int]()
    real = tokens.hmac.compare_digest

    def counted(left: bytes, right: bytes) -> bool:
        compared.append(len(left) - len(right))
        return real(left, right)

    monkeypatch.setattr(tokens.hmac, "compare_digest", counted)
    for username in (account[0].sid, f"AC{UNKNOWN}", f"SK{UNKNOWN}", "nobody", "", "AC" + "g" * 32):
        for password in ("", "wrong", account[1][:-1], "\udcff", "x" * 3000):
            compared.clear()
            with pytest.raises(NotAuthenticated):
                await authenticate(username, password, accounts=parts.ledger.accounts, digest=parts.digest)
            assert compared == [0], username  # one comparison, of digests that are as long as each other


async def test_the_console_works_argon2_for_unknown_people_too(
    parts: Parts, account: tuple[Account, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await admit_person(
        account[0],
        "one@example.com",
        Role.LISTENER,
        password="a long password of hers",
        people=parts.ledger.people,
        passwords=parts.passwords,
        clock=parts.clock,
    )
    worked = list[str]()
    real = passwords._verify

    def counted(password: str, hashed: str) -> bool:
        worked.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(passwords, "_verify", counted)
    for email in ("one@example.com", "two@example.com", "no address", ""):
        with pytest.raises(NotAuthenticated):
            await know_person(
                email, "wrong", people=parts.ledger.people, accounts=parts.ledger.accounts, passwords=parts.passwords
            )
    assert worked[1:] == [passwords._NOBODYS] * 3  # made by the hasher of this process, and so as slow as the others
    assert len(worked) == 4
