"""Opening the database: the pool, the promises it must keep, and the schema it must have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from callreel.errors import DatabaseAway, Misconfigured
from callreel.failpoints import reach
from callreel.ledger.jobs import install_engine

POOL = 12
CLOCK_OFFSET_S = 60.0
_MIGRATION_LOCK = 0x63616C6C  # any number of ours: one migration at a time, whoever starts first
_REQUIRED = {"fsync": "on", "full_page_writes": "on"}


def open_engine(url: str, *, pool: int = POOL) -> AsyncEngine:
    """A pool of connections to `postgresql://…`. Nothing is connected yet."""
    normal = url.replace("postgres://", "postgresql://", 1)
    if normal.startswith("postgresql://"):
        normal = normal.replace("postgresql://", "postgresql+asyncpg://", 1)
    if not normal.startswith("postgresql+asyncpg://"):
        raise Misconfigured("DATABASE_URL must begin with postgresql://")
    engine = create_async_engine(
        normal,
        pool_size=pool,
        max_overflow=8,
        pool_timeout=10,
        pool_pre_ping=False,
        connect_args={"server_settings": {"application_name": "callreel", "timezone": "UTC"}, "timeout": 10},
    )
    return LedgerEngine(engine.sync_engine)


class LedgerEngine(AsyncEngine):
    """The ledger's own engine: `connect` to read, `begin` to write.

    Both say `DatabaseAway` when the database, not the statement, is the trouble, so that nobody above has to know
    how a driver words it. What `connect` gives reads statement by statement, without a transaction around it:
    BEGIN and ROLLBACK would be two more round trips for every read.
    """

    def __init__(self, sync_engine: Engine) -> None:
        super().__init__(sync_engine)
        self._reading = AsyncEngine(sync_engine.execution_options(isolation_level="AUTOCOMMIT"))

    def execution_options(self, **options: Any) -> LedgerEngine:
        """As SQLAlchemy's, and still an engine of ours."""
        return LedgerEngine(self.sync_engine.execution_options(**options))

    def connect(self) -> AsyncConnection:
        """A connection for single statements: reads need no BEGIN and no ROLLBACK, which are round trips."""
        return _TranslatingConnection(self._reading)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection inside a transaction, committed at the end unless something was raised."""
        async with _TranslatingConnection(self) as connection, connection.begin():
            yield connection


class _TranslatingConnection(AsyncConnection):
    async def start(self, is_ctxmanager: bool = False) -> AsyncConnection:
        try:
            return await super().start(is_ctxmanager)
        except (*_AWAY, DBAPIError, asyncpg.PostgresError) as why:  # no statement was sent that could be at fault
            raise DatabaseAway() from why

    async def __aexit__(self, kind: Any, why: Any, traceback: Any) -> None:
        await super().__aexit__(kind, why, traceback)
        if isinstance(why, Exception) and database_is_away(why):
            raise DatabaseAway() from why


_AWAY = (OSError, TimeoutError, PoolTimeout, asyncpg.InterfaceError)


def database_is_away(why: BaseException) -> bool:
    """Whether the error means that the database, not the statement, is the trouble."""
    if not isinstance(why, DBAPIError):
        return isinstance(why, _AWAY)
    if why.connection_invalidated or isinstance(why, (OperationalError, InterfaceError)):
        return True
    sqlstate = getattr(why.orig, "sqlstate", None) or ""
    # 08: connection; 53: out of disk, memory or connections; 57P: shut down or starting; 25006: read-only.
    return sqlstate.startswith(("08", "53", "57P")) or sqlstate == "25006"


async def check_promises(engine: AsyncEngine) -> None:
    """Refuse a server that forgets what it has committed. Raises `Misconfigured` or `DatabaseAway`."""
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


async def check_clock(engine: AsyncEngine, now: Callable[[], datetime]) -> None:
    """Refuse to work by a clock that is more than 60 s off the database's. Raises `Misconfigured`, `DatabaseAway`.

    Jobs are due by the database's clock and deadlines by ours.
    """
    async with engine.connect() as connection:
        theirs = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    offset_s = (now() - theirs).total_seconds()
    if abs(offset_s) > CLOCK_OFFSET_S:
        raise Misconfigured(
            f"This machine's clock is {abs(offset_s):.0f} s {'ahead of' if offset_s > 0 else 'behind'} the database's; "
            "set both by NTP, then start again"
        )


async def migrate(engine: AsyncEngine) -> None:
    """Bring the schema to this version. May be run again, and by several processes at once."""
    async with engine.connect() as connection:
        if await connection.run_sync(_is_current):
            return
    async with engine.begin() as transaction:
        await transaction.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        await transaction.run_sync(_upgrade)
        reach("C19")
        await install_engine(transaction)


async def is_migrated(engine: AsyncEngine) -> bool:
    """Whether the schema is that of this version."""
    async with engine.connect() as connection:
        return await connection.run_sync(_is_current)


def migration_config() -> Config:
    """Where the revisions of the schema lie."""
    config = Config()
    config.set_main_option("script_location", "callreel:ledger/revisions")
    return config


def _is_current(connection: Connection) -> bool:
    head = ScriptDirectory.from_config(migration_config()).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == head


def _upgrade(connection: Connection) -> None:
    config = migration_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
