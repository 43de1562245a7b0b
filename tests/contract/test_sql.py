"""Every query prepares against the migrated schema, under the role that runs it; migrations hold what they promise."""

import re
from pathlib import Path

import asyncpg
import pytest

from headwater.store import queries as queries_module
from headwater.store.migrate import ROLES, MigrationError, migrate, migrations, status
from headwater.store.queries import aggregates, queries

# What control runs, under the role that row-level security holds to one tenant; the rest is the workers'.
OF_API = {"config", "idempotency"}


async def test_every_query_prepares_under_its_role(database: str) -> None:
    faults = []
    for role in ("headwater_api", "headwater_worker"):
        connection = await asyncpg.connect(
            database, server_settings={"role": role, "search_path": "headwater"}
        )
        try:
            for aggregate in aggregates():
                if (aggregate in OF_API) == (role == "headwater_api"):
                    faults += await _faults(connection, aggregate)
        finally:
            await connection.close()

    assert faults == []


async def _faults(connection: asyncpg.Connection, aggregate: str) -> list[str]:
    faults = []
    for name, text in queries(aggregate).items():
        try:
            statement = await connection.prepare(text)
        except asyncpg.PostgresError as error:
            faults.append(f"{aggregate}.{name}: {error}")
            continue
        if len(statement.get_parameters()) != len(set(re.findall(r"\$(\d+)", text))):
            faults.append(f"{aggregate}.{name}: a parameter is skipped")
    return faults


def test_every_query_says_what_it_is_for_where_its_name_does_not() -> None:
    for path in (Path(queries_module.__file__).parent / "sql").glob("*.sql"):
        assert path.read_text().startswith("-- name: "), f"{path.name} begins with a query's name"


async def test_migrations_apply_once_and_are_recorded(bare_database: str) -> None:
    first = await migrate(bare_database)
    again = await migrate(bare_database)

    assert first == [step.name for step in migrations()]
    assert again == []
    assert await status(bare_database) == (first, [])


async def test_a_migration_that_was_changed_after_it_was_applied_is_refused(bare_database: str) -> None:
    await migrate(bare_database)
    connection = await asyncpg.connect(bare_database)
    try:
        await connection.execute("UPDATE headwater.schema_migration SET digest = 'other' WHERE number = 1")
    finally:
        await connection.close()

    with pytest.raises(MigrationError, match="0001_core.sql was changed after it was applied"):
        await migrate(bare_database)


async def test_every_tenant_table_forces_row_level_security(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped"
            " WHERE n.nspname = 'headwater' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        )
    finally:
        await connection.close()
    unforced = [row["relname"] for row in rows if not row["forced"]]

    assert len(rows) >= 20
    assert unforced == []


async def test_what_belongs_to_a_tenant_says_so_and_goes_with_it(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class c WHERE relnamespace = 'headwater'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid"
            " AND a.attname = 'tenant' AND NOT a.attisdropped) ORDER BY relname"
        )
    finally:
        await connection.close()

    assert [row["relname"] for row in rows] == [
        "ended_session",  # goes with its key
        "ended_tenant",
        "schema_migration",
        "tenant",
        "timer_memory",
    ]


async def test_the_api_role_sees_only_the_tenant_it_names(database: str) -> None:
    connection = await asyncpg.connect(
        database, server_settings={"role": "headwater_api", "search_path": "headwater"}
    )
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('headwater.admin', 'on', true)")
            await connection.execute("INSERT INTO tenant (name) VALUES ('a'), ('b')")
        for tenant in ("a", "b"):
            async with connection.transaction():
                await connection.execute("SELECT set_config('headwater.tenant', $1, true)", tenant)
                await connection.execute(
                    "INSERT INTO source (tenant, name, definition) VALUES ($1, 's', '{}')", tenant
                )
        async with connection.transaction():
            await connection.execute("SELECT set_config('headwater.tenant', 'a', true)")
            seen = await connection.fetch("SELECT tenant FROM source")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(
                    "INSERT INTO source (tenant, name, definition) VALUES ('b', 't', '{}')"
                )
        nobody = await connection.fetch("SELECT tenant FROM source")
    finally:
        await connection.close()

    assert [row["tenant"] for row in seen] == ["a"]
    assert nobody == []


async def test_no_role_of_a_service_owns_what_it_reads_or_may_log_in(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        roles = await connection.fetch(
            "SELECT rolname, rolcanlogin, rolbypassrls, rolsuper FROM pg_roles WHERE rolname = ANY($1)",
            list(ROLES),
        )
        owners = await connection.fetch(
            "SELECT DISTINCT pg_get_userbyid(c.relowner) AS owner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'headwater'"
        )
    finally:
        await connection.close()

    assert len(roles) == len(ROLES)
    assert not any(row["rolcanlogin"] or row["rolbypassrls"] or row["rolsuper"] for row in roles)
    assert [row["owner"] for row in owners] == ["headwater_owner"]


@pytest.mark.parametrize(
    ("aggregate", "name", "values", "column"),
    [
        ("schedules", "claim_due", (10,), "next_at"),
        ("outbox", "claim", (10, 10), "not_before"),
        ("chains", "quiet", (10,), "start_at"),
        ("runs", "overdue", (), "deadline_at"),
    ],
)
async def test_what_is_due_is_found_by_its_time_without_reading_what_is_to_come(
    database: str, aggregate: str, name: str, values: tuple[int, ...], column: str
) -> None:
    connection = await asyncpg.connect(
        database, server_settings={"search_path": "headwater", "enable_seqscan": "off"}
    )
    try:
        rows = await connection.fetch(f"EXPLAIN {queries(aggregate)[name]}", *values)
    finally:
        await connection.close()

    conditions = [row[0] for row in rows if "Index Cond" in row[0]]
    assert conditions
    assert all(f"{column} <=" in condition for condition in conditions)
