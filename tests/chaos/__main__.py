"""`make chaos`: the judges of durability at their full size, one table, exit 0 or the seed and exit 1.

python -m tests.chaos --recordings 10000 --seed 7 --only storm
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable

from tests.chaos.failing_calls import fail_all, why_not
from tests.chaos.flips import flip_many
from tests.chaos.machine import lives
from tests.chaos.processes import DidNotStart
from tests.chaos.rounds import crash_in_rounds
from tests.chaos.storm import Weather, storm
from tests.chaos.table import SHOWN, Row, show

LIFE_STEPS = 50
Judge = Callable[[argparse.Namespace], Awaitable[Row]]


async def _storm(options: argparse.Namespace) -> Row:
    limit_s = max(1800.0, 3.0 * options.recordings)  # on two cores that have nothing else to do it takes a tenth
    weather = Weather(recordings=options.recordings, seed=options.seed, limit_s=limit_s, quiet_s=limit_s / 3)
    out = await storm(weather)
    kills = ", ".join(f"{name} {count}" for name, count in sorted(out.kills.items()))
    return Row(
        f"{out.acknowledged:,} recordings under SIGKILL every 2–5 s and 20 % S3 faults",
        "0 lost, 0 keys with two contents, 0 events missing",
        f"{len(out.lost)} lost, {len(out.twice)} twice, {len(out.untold)} events missing, {len(out.broken)} others; "
        f"{out.delivered:,} delivered and read back, {out.deleted} deleted; killed: {kills}; "
        f"{out.faults.total():,} faults in {out.s3_requests:,} S3 requests; {out.sent:,} sent; "
        f"{out.restarted} restarted; {out.took_s:.0f} s",
        out.violations,
    )


async def _lives(options: argparse.Namespace) -> Row:
    began = time.monotonic()
    stop = threading.Event()
    try:
        found = await asyncio.to_thread(lives, options.examples, LIFE_STEPS, options.seed, stop)
    finally:
        stop.set()
    return Row(
        f"random lives against the reference, {options.examples:,} × {LIFE_STEPS} steps",
        "0 disagreements",
        f"{len(found)} disagreements; {time.monotonic() - began:.0f} s",
        found,
    )


async def _calls(options: argparse.Namespace) -> Row:
    if (reason := why_not()) is not None:
        return Row("n-th failing system call", "0 false acknowledgements", "not run", [f"not run: {reason}"])
    began = time.monotonic()
    found = await fail_all(options.calls)
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(found.injected.items()))
    return Row(
        f"n-th failing system call, n = 1…{options.calls}",
        "0 false acknowledgements",
        f"{len(found.violations)} false; {kinds} failed in {found.uploads:,} uploads; {time.monotonic() - began:.0f} s",
        found.violations,
    )


async def _flips(options: argparse.Namespace) -> Row:
    began = time.monotonic()
    flipped = await flip_many(options.flips, seed=options.seed)
    return Row(
        f"one flipped bit in each of {options.flips:,} files of the spool",
        f"{options.flips:,} found, 0 uploaded",
        f"{flipped.found:,} found, {flipped.uploaded} uploaded; {time.monotonic() - began:.0f} s",
        flipped.violations,
    )


async def _rounds(options: argparse.Namespace) -> Row:
    began = time.monotonic()
    rounds = await crash_in_rounds(options.rounds)
    points = ", ".join(f"{p} {n}" for p, n in sorted(rounds.points.items(), key=lambda item: int(item[0][1:])))
    return Row(
        f"crash points × flows, {options.rounds} rounds each",
        "all invariants hold",
        f"{rounds.crashes:,} crashes ({points}), {len(rounds.violations)} violations; {time.monotonic() - began:.0f} s",
        rounds.violations,
    )


JUDGES: dict[str, Judge] = {"storm": _storm, "rounds": _rounds, "lives": _lives, "calls": _calls, "flips": _flips}


async def _all(options: argparse.Namespace) -> list[Row]:
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    rows = []
    for name in options.only:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows.append(row := await _judged(name, options))
        print("\n".join([f"  {row.measured}", *row.violations[:SHOWN]]), file=sys.stderr, flush=True)
    return rows


async def _judged(name: str, options: argparse.Namespace) -> Row:
    """What could not be brought to its end is a finding too: a service that does not start, or never comes to rest."""
    try:
        return await JUDGES[name](options)
    except* (DidNotStart, TimeoutError) as why:
        found = [f"{type(one).__name__}: {one}" for one in why.exceptions]
    return Row(name, "comes to its end", "did not", found)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - JUDGES.keys():
        raise argparse.ArgumentTypeError(f"no such judge: {', '.join(sorted(unknown))}")
    return names


def main() -> None:
    """Run the judges and end with 1 when one of them found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=main.__doc__)
    parser.add_argument("--recordings", type=int, default=2000, help="of the storm; default 2000")
    parser.add_argument("--examples", type=int, default=2000, help="random lives; default 2000")
    parser.add_argument("--rounds", type=int, default=20, help="of the crash tests; default 20")
    parser.add_argument("--calls", type=int, default=200, help="of each kind, that fail; default 200")
    parser.add_argument("--flips", type=int, default=1000, help="files with a flipped bit; default 1000")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument(
        "--only", type=_names, default=list(JUDGES), metavar="A,B", help=f"of {', '.join(JUDGES)}; default: all"
    )
    options = parser.parse_args()
    options.seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    try:
        rows = asyncio.run(_all(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    show(rows, seed=options.seed)
    sys.exit(any(row.violations for row in rows))


if __name__ == "__main__":
    main()
