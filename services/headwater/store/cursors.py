"""How far a stream has been read. The cursor moves only with a complete walk, by compare-and-set."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from headwater.store import children
from headwater.store.queries import queries

_Q = queries("cursors")


async def get(connection: Any, tenant: str, source: str, stream: str) -> Mapping[str, Any] | None:
    return await connection.fetchrow(_Q["get"], tenant, source, stream)  # type: ignore[no-any-return]


async def move(connection: Any, of: tuple[str, str, str], mark: Any, run_id: UUID, version: int) -> bool:
    """Move the cursor of `of` (tenant, source, stream) to `mark` from `version` on (0: there was none).

    `mark` is a value, or a boundary {"value", "id", "seen"}: what is known of the records at it is kept with it. False
    when somebody set or reset the cursor since.
    """
    told = mark if isinstance(mark, Mapping) else {"value": mark, "id": None, "seen": None}
    kept = {"seen": told["seen"]} if told["seen"] else None
    row = await connection.fetchval(_Q["move"], *of, told["value"], run_id, version, told["id"], kept)
    if row is not None:
        await connection.execute(_Q["forget_since"], *of)
    return row is not None


async def touch(connection: Any, of: tuple[str, str, str], run_id: UUID, version: int) -> bool:
    """Note that a run read the stream, whose cursors stand with its parents; False as for `move`."""
    return await connection.fetchval(_Q["touch"], *of, run_id, version) is not None


async def put(connection: Any, tenant: str, source: str, stream: str, value: Any) -> None:
    """Set the cursor by hand, for all parents where it has some; a run under way does not move it."""
    await children.forget_cursors(connection, (tenant, source, stream))
    await connection.execute(_Q["put"], tenant, source, stream, value)
    await connection.execute(_Q["forget_since"], tenant, source, stream)


async def lock(connection: Any, tenant: str, source: str, stream: str) -> None:
    """Nobody else sets or resets the cursor until the transaction ends."""
    await connection.execute(_Q["lock"], tenant, source, stream)


async def reset(connection: Any, tenant: str, source: str, stream: str) -> None:
    """Forget how far the stream was read: the next run begins at the beginning; one under way does not move it."""
    await children.forget_cursors(connection, (tenant, source, stream))
    await connection.execute(_Q["reset"], tenant, source, stream)


async def keep_resume(
    connection: Any, of: tuple[str, str, str], resume: Mapping[str, Any], version: int
) -> bool:
    """Let the next run go on where a limit ended this one; False when the cursor was set or reset meanwhile."""
    return await connection.fetchval(_Q["keep_resume"], *of, dict(resume), version) is not None


async def get_resume(connection: Any, of: tuple[str, str, str]) -> Mapping[str, Any] | None:
    """What is known for the next run beside the cursor's value."""
    return await connection.fetchval(_Q["get_resume"], *of)  # type: ignore[no-any-return]


async def keep_gaps(
    connection: Any,
    of: tuple[str, str, str],
    mark: Any,
    resume: Mapping[str, Any],
    run_id: UUID,
    version: int,
) -> bool:
    """As `move`, with the gaps that lie behind `mark` (None: the cursor stays where it is)."""
    told = mark if isinstance(mark, Mapping) else {"value": mark, "id": None}
    row = await connection.fetchval(
        _Q["keep_gaps"], *of, told["value"], run_id, version, told["id"], dict(resume)
    )
    return row is not None


async def forget_resume(connection: Any, of: tuple[str, str, str]) -> None:
    """The next run begins at the cursor, wherever one was cut."""
    await connection.execute(_Q["forget_resume"], *of)
