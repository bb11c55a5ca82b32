"""Who called whom, as a call log keeps it: sealed, with blind marks for exact search."""

from __future__ import annotations

import json
from collections.abc import Mapping

from callreel.model.sid import AccountSid
from callreel.sealing.blind_index import BlindIndex
from callreel.sealing.keyring import Keyring


def seal_parties(
    numbers: Mapping[str, str | None],
    *,
    call_sid: str | None,
    account_sid: AccountSid,
    keyring: Keyring,
    index: BlindIndex,
) -> dict[str, bytes | None]:
    """The columns of a call log for its numbers, given as `from` and `to`; None where there is nothing to keep."""
    given = {end: number for end, number in numbers.items() if number is not None}
    sealed = None
    if given and call_sid is not None:
        sealed = keyring.seal(json.dumps(given).encode(), table="calls", row=call_sid, account=account_sid)
    marks = {end: index.mark(number, account=account_sid, column=end) for end, number in given.items()}
    return {"parties_sealed": sealed, "from_mark": marks.get("from"), "to_mark": marks.get("to")}
