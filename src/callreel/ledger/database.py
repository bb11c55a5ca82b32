"""Opening the database: the pool, the promises it must keep, and the schema it must have."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from callreel.errors import DatabaseAway, Misconfigured
from callreel.ledger.jobs import install_engine

POOL = 12
_MIGRATION_LOCK = 0x63616C6C  # any number of ours: one migration at a time, whoever starts first
_REQUIRED = {"fsync": "on", "full_page_writes": "on"}


def open_engine(url: str, *, pool: int = POOL) -> AsyncEngine:
    """A pool of connections to `postgresql://…`. Nothing is connected yet."""
    normal = url.replace("postgres://", "postgresql://", 1)
    if normal.startswith("postgresql://"):
        normal = normal.replace("postgresql://", "postgresql+asyncpg://", 1)
    if not normal.startswith("postgresql+asyncpg://"):
        raise Misconfigured("DATABASE_URL must begin with postgresql://")
    return create_async_engine(
        normal,
        pool_size=pool,
        max_overflow=8,
        pool_timeout=10,
        pool_pre_ping=False,
        connect_args={"server_settings": {"application_name": "callreel", "timezone": "UTC"}, "timeout": 10},
    )


async def check_promises(engine: AsyncEngine) -> None:
    """Refuse a server that forgets what it has committed. Raises `Misconfigured` or `DatabaseAway`."""
    try:
        async with engine.connect() as connection:
            for name, wanted in _REQUIRED.items():
                found = (await connection.execute(text(f"SHOW {name}"))).scalar_one()
                if found != wanted:
                    raise Misconfigured(
                        f"PostgreSQL runs with {name}={found}; callreel needs {name}={wanted} to keep what it promised"
                    )
            commit = (await connection.execute(text("SHOW synchronous_commit"))).scalar_one()
            if commit in ("off",):
                raise Misconfigured("PostgreSQL runs with synchronous_commit=off; callreel needs on")
            version = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
            if version < 140000:
                raise Misconfigured("PostgreSQL 14 or newer is needed")
    except (OSError, DBAPIError) as why:
        raise DatabaseAway(f"The database does not answer: {type(why).__name__}") from why


async def migrate(engine: AsyncEngine) -> None:
    """Bring the schema to this version. May be run again, and by several processes at once."""
    async with engine.connect() as connection:
        if await connection.run_sync(_is_current):
            return
    async with engine.begin() as transaction:
        await transaction.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        await transaction.run_sync(_upgrade)
        await install_engine(transaction)


async def is_migrated(engine: AsyncEngine) -> bool:
    """Whether the schema is that of this version."""
    async with engine.connect() as connection:
        return await connection.run_sync(_is_current)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "callreel:ledger/revisions")
    return config


def _is_current(connection: Connection) -> bool:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == head


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
