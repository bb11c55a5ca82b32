"""I13: no secret of this installation stands in a text that is shown or kept in the open."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

from callreel.errors import CallreelError
from callreel.examine.finding import Finding, Note, Violation
from callreel.examine.scene import Scene
from callreel.model.credential import parse_access_key

_WORD = re.compile(r"[A-Za-z0-9+/=_-]{20,200}", re.ASCII)
_ALWAYS_SECRET = re.compile(r"X-Amz-Signature=[0-9a-f]{8}|-----BEGIN [A-Z ]*PRIVATE KEY", re.ASCII)


async def no_secrets_in_the_open(scene: Scene) -> AsyncIterator[Finding]:
    """I13, as far as one can look: stored secrets, signed queries and private keys in the texts of the database."""
    known, closed = set[str](), 0
    async for table, row, account_sid, sealed in scene.ledger.examination.sealed_secrets():
        try:
            known.update(_words_of(table, scene.keyring.open(sealed, table=table, row=row, account=account_sid)))
        except CallreelError:
            closed += 1
    if closed:
        text = f"{closed} stored secrets do not open under this master key"
        yield Note(invariant="I13", subject="installation", text=text)
    async for subject, words in scene.ledger.examination.texts(scene.account_sid):
        if _ALWAYS_SECRET.search(words) or any(word in known for word in _words_in(words)):
            yield Violation(invariant="I13", subject=subject, text="has a secret in its text")


def _words_of(table: str, opened: bytes) -> Iterator[str]:
    if table == "credentials":
        yield parse_access_key(opened.decode()).secret
    else:
        yield opened.decode()


def _words_in(text: str) -> Iterator[str]:
    """A secret may touch what a word is made of ('=secret', 'id/secret'), so its parts count too."""
    for match in _WORD.finditer(text):
        word = match.group()
        yield word
        yield from re.split(r"[=/]", word)
