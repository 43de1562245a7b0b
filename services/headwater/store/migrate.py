"""Forward migrations under an advisory lock.

The roles come first (they belong to the cluster, not to a database), then each file of `schemas/sql` that is not
yet recorded, in the order of its number, each in its own transaction and as `headwater_owner`.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass

import asyncpg

from headwater.model.errors import ConfigError, HeadwaterError, Unavailable
from headwater.settings.resources import resource
from headwater.store.database import faults_are_unavailable

ROLES = ("headwater_owner", "headwater_api", "headwater_worker", "headwater_loader")
_LOCK = 0x68656164  # "head": one migration at a time per database
_GRANT = f"`GRANT {', '.join(ROLES)} TO` it"
_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")


class MigrationError(HeadwaterError):
    """A migration cannot be applied; the message names it and the reason."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations that this version ships, in order."""
    found = []
    for path in sorted(resource("schemas", "sql").glob("[0-9]*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise ConfigError(f"schemas/sql/{path.name}: name migrations like 0001_core.sql")
        found.append(Migration(int(match[1]), path.name, path.read_text(encoding="utf-8")))
    return found


async def migrate(url: str) -> list[str]:
    """Bring the database at `url` to this version; gives the names of what was applied.

    Raises: MigrationError when a recorded migration differs from the file, the database is newer than this version,
    or the user may not create roles and schemas.
    """
    async with faults_are_unavailable():
        return await _migrate(url)


class NotMigrated(Unavailable):
    """The database answers, and lacks migrations."""


async def is_current(url: str) -> None:
    """Returns when the database has every migration. Raises: NotMigrated; Unavailable when it is away."""
    _, missing = await status(url)
    if missing:
        those = (
            f"migration {missing[0]}"
            if len(missing) == 1
            else f"{len(missing)} migrations, {missing[0]} first"
        )
        raise NotMigrated(f"it lacks {those}; run `headwater db migrate`")


async def status(url: str) -> tuple[list[str], list[str]]:
    """The names of the migrations that the database has, and of those that it lacks.

    Raises: Unavailable; MigrationError where the user may not look.
    """
    async with faults_are_unavailable():
        connection = await asyncpg.connect(url, timeout=5, command_timeout=10)
        try:
            have = await recorded(connection)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            have = {}
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationError(
                f"the database user may not use headwater ({error}); take the user that ran `headwater db migrate`, "
                f"or let an administrator {_GRANT}"
            ) from error
        finally:
            await connection.close(timeout=5)
    return [have[number][0] for number in sorted(have)], [
        step.name for step in migrations() if step.number not in have
    ]


async def _migrate(url: str) -> list[str]:
    connection = await asyncpg.connect(url, timeout=5, command_timeout=120)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await _prepare(connection)
        return [step.name for step in await _pending(connection) if await _apply(connection, step)]
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(
            f"the database user may not set up headwater ({error.args[0]}); give it CREATEROLE and CREATE on the "
            f"database, and where another user made these roles, let an administrator {_GRANT}"
        ) from error
    finally:
        await connection.close(timeout=5)


async def _prepare(connection: asyncpg.Connection) -> None:
    for role in ROLES:
        await _ensure_role(connection, role)
    database = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(f"GRANT CREATE ON DATABASE {database} TO headwater_owner, headwater_loader")
    await connection.execute("CREATE SCHEMA IF NOT EXISTS headwater AUTHORIZATION headwater_owner")
    await connection.execute(
        "SET ROLE headwater_owner;"
        "CREATE TABLE IF NOT EXISTS headwater.schema_migration ("
        " number integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT clock_timestamp());"
        "GRANT USAGE ON SCHEMA headwater TO headwater_api, headwater_worker;"
        "GRANT SELECT ON headwater.schema_migration TO headwater_api, headwater_worker;"
        "RESET ROLE"
    )


async def _ensure_role(connection: asyncpg.Connection, role: str) -> None:
    """Create the role if it is missing and become a member. Other databases of the cluster may do so right now."""
    for _ in range(20):
        try:
            known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
            if not known:
                await connection.execute(f"CREATE ROLE {role} NOLOGIN")
            member = await connection.fetchval("SELECT pg_has_role(current_user, $1, 'MEMBER')", role)
            if not member:
                await connection.execute(f"GRANT {role} TO CURRENT_USER")
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError, asyncpg.InternalServerError):
            await asyncio.sleep(0.05)  # another database's migration made it in this moment: look again
        else:
            return
    raise MigrationError(f"role {role} could not be made: others keep changing it; try again")


async def recorded(connection: asyncpg.Connection) -> dict[int, tuple[str, str]]:
    """Number → (name, digest) of what this database has."""
    rows = await connection.fetch("SELECT number, name, digest FROM headwater.schema_migration")
    return {row["number"]: (row["name"], row["digest"]) for row in rows}


async def _pending(connection: asyncpg.Connection) -> list[Migration]:
    have = await recorded(connection)
    ours = {step.number: step for step in migrations()}
    newer = sorted(set(have) - set(ours))
    if newer:
        raise MigrationError(
            f"the database has migration {have[newer[0]][0]}, unknown here: update headwater"
        )
    for number, (name, digest) in have.items():
        if ours[number].digest != digest:
            raise MigrationError(
                f"{name} was changed after it was applied; migrations go forward only: add a new one"
            )
    return [step for number, step in sorted(ours.items()) if number not in have]


async def _apply(connection: asyncpg.Connection, step: Migration) -> bool:
    try:
        async with connection.transaction():
            await connection.execute(
                "SET LOCAL ROLE headwater_owner; SET LOCAL search_path = headwater, pg_temp"
            )
            await connection.execute(step.text)
            await connection.execute(
                "INSERT INTO headwater.schema_migration (number, name, digest) VALUES ($1, $2, $3)",
                step.number,
                step.name,
                step.digest,
            )
    except asyncpg.InsufficientPrivilegeError:
        raise
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{step.name}: {error}") from error
    return True
