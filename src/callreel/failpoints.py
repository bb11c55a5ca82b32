"""Named places where a test may kill the process. Off unless `CALLREEL_FAILPOINT` names one.

The names are those of the crash table in `docs/durability.md` (C1 to C19).
"""

from __future__ import annotations

import os
import signal

_ARMED = os.environ.get("CALLREEL_FAILPOINT", "")
_hits = int(os.environ.get("CALLREEL_FAILPOINT_AFTER", "0"))


def reach(name: str) -> None:
    """Die here, with SIGKILL and no clean-up, if this point is armed (after as many passes as were asked for)."""
    global _hits
    if name != _ARMED:
        return
    if _hits > 0:
        _hits -= 1
        return
    os.kill(os.getpid(), signal.SIGKILL)
