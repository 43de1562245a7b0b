"""What tests of destination tables share: two connections, batches, and looks into tables."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from headwater.plugins.destinations import Batch, Loaded, Mode, PostgresDestination, Table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = UUID("018f0000-0000-8000-8000-000000000001")
SCHEMA = "hw_test"


@pytest.fixture
async def bare_connection(bare_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(bare_database)
    yield connection
    await connection.close()


@pytest.fixture
async def other_connection(bare_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(bare_database)
    yield connection
    await connection.close()


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def batch(
    records: list, *, at: float = 0, page: int = 1, run: UUID | None = RUN, delivery: UUID | None = None
) -> Batch:
    moment = NOW + timedelta(seconds=at)
    return Batch(records, moment, None if delivery else run, delivery, None if delivery else page)


async def load(connection, table: Table, *batches: Batch, by: PostgresDestination | None = None) -> Loaded:
    destination = by or PostgresDestination()
    plan = await destination.prepare(connection, table, batches)
    async with connection.transaction():
        return await destination.load(connection, plan, batches)


def append(name: str = "things", **kwargs) -> Table:
    return Table(SCHEMA, name, Mode.APPEND, **kwargs)


def merge(name: str = "things", key: tuple[str, ...] = ("id",), **kwargs) -> Table:
    return Table(SCHEMA, name, Mode.MERGE, key, **kwargs)


async def rows(connection, columns: str = "*", name: str = "things", order: str = "1") -> list:
    query = f'SELECT {columns} FROM {SCHEMA}."{name}" ORDER BY {order}'
    return [tuple(row) for row in await connection.fetch(query)]


async def types(connection, name: str = "things") -> dict[str, str]:
    """The columns of fields, with their types."""
    found = await connection.fetch(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND NOT attname LIKE '\\_%'",
        f'{SCHEMA}."{name}"',
    )
    return {row[0]: row[1] for row in found}


async def tables(connection) -> list[str]:
    found = await connection.fetch(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1", SCHEMA
    )
    return [row[0] for row in found]
