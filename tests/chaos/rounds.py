"""The crash tests, round after round: SIGKILL at every fail point of every flow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
_POINT = re.compile(r"(?<![a-z0-9])c\d+(?![a-z0-9])", re.IGNORECASE)  # of the name of a test, or of its parameters


@dataclass(slots=True)
class Rounds:
    """What came of them. `points` are the crashes by the name of their fail point."""

    points: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    violations: list[str] = field(default_factory=list)


async def crash_in_rounds(rounds: int) -> Rounds:
    """Run the crash tests so many times. They are pytest's; what they found is read from its report."""
    with tempfile.TemporaryDirectory(prefix="callreel-rounds-") as home:
        report = Path(home) / "report.xml"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "tests/crash", "-q", "--rounds", str(rounds), "-p", "no:cacheprovider"),
            *("--junitxml", str(report), "--basetemp", str(Path(home) / "pytest")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
        )
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:  # told to stop: pytest stops its PostgreSQL itself
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
                await process.wait()
        if not report.exists():
            return Rounds(violations=[f"the crash tests did not run: {said.decode()[-500:]}"])
        return _read(report)


def _read(report: Path) -> Rounds:
    found = Rounds()
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name", "")
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        if problem is not None:
            found.violations.append(f"{name}: {problem.get('message', '')[:300]}")
        if case.find("skipped") is None and "[" in name:
            found.crashes += 1
            found.points.update(point.upper() for point in _POINT.findall(name))
    return found
