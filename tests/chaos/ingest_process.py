"""A listener that takes recordings in, and whose system calls can be made to fail one by one.

    python -m tests.chaos.ingest_process --data-dir DIR --database-url URL

The door, the step, the spool and the ledger are the real ones. What differs from `callreel serve`: no worker, so that
what was acknowledged stays where it can be looked at; one spool thread, so that the n-th call is the n-th; and the loop
of asyncio, which wakes itself over a socket, so that `write` is a write to a file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
from pathlib import Path

import structlog

from callreel.app import open_parts
from callreel.settings import load_settings
from callreel.spool import spool
from callreel.steps.open_account import open_account
from tests.web.conftest import serving


async def main(data_dir: Path, database_url: str) -> None:
    """Listen until SIGTERM. Says in one line of JSON where, and for whom."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    settings = load_settings(data_dir=data_dir, allowed_private_networks="127.0.0.0/8")
    async with open_parts(settings, database_url=database_url, public_url="http://callreel.test") as parts:
        account, token = await open_account(
            "Main",
            parent=None,
            accounts=parts.ledger.accounts,
            keyring=parts.keyring,
            digest=parts.digest,
            clock=parts.clock,
        )
        async with serving(parts) as url:
            print(json.dumps({"url": url, "pid": os.getpid(), "account": account.sid, "token": token}), flush=True)
            await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--database-url", required=True)
    options = parser.parse_args()
    spool.WRITERS = 1
    asyncio.run(main(options.data_dir, options.database_url))
