"""The installation opens and closes."""

from callreel.parts import Parts


async def test_all_parts_open_on_an_empty_directory(parts: Parts) -> None:
    await parts.ledger.answers()
    assert parts.spool.ready.is_dir()
    assert parts.spool.host_id
