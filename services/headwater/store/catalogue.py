"""What the API lists: one page of rows in a fixed order, after the last one of the page before."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.model.ids import time_of
from headwater.store.queries import queries

_Q = queries("catalogue")
Row = Mapping[str, Any]


async def list_tenants(connection: Any, *, after: str | None, limit: int) -> Sequence[Row]:
    return await connection.fetch(_Q["tenants"], after, limit)  # type: ignore[no-any-return]


async def get_tenant(connection: Any, name: str) -> Row | None:
    return await connection.fetchrow(_Q["tenant"], name)  # type: ignore[no-any-return]


async def make_tenant(connection: Any, name: str, settings: Mapping[str, Any]) -> Row | None:
    """The new tenant; None when the name is taken."""
    return await connection.fetchrow(_Q["make_tenant"], name, dict(settings))  # type: ignore[no-any-return]


async def change_tenant(connection: Any, name: str, settings: Mapping[str, Any]) -> Row | None:
    """Merge `settings` into the tenant's; None takes one away. None when there is no such tenant."""
    return await connection.fetchrow(_Q["change_tenant"], name, dict(settings))  # type: ignore[no-any-return]


async def list_keys(connection: Any, *, tenant: str | None, after: str | None, limit: int) -> Sequence[Row]:
    return await connection.fetch(_Q["keys"], after, limit, tenant)  # type: ignore[no-any-return]


async def get_key(connection: Any, key_id: str) -> Row | None:
    return await connection.fetchrow(_Q["key"], key_id)  # type: ignore[no-any-return]


async def count_other_admin_keys(connection: Any, key_id: str) -> int:
    return int(await connection.fetchval(_Q["other_admin_keys"], key_id))


async def list_sources(connection: Any, tenant: str, *, after: str | None, limit: int) -> Sequence[Row]:
    return await connection.fetch(_Q["sources"], tenant, after, limit)  # type: ignore[no-any-return]


async def get_source(connection: Any, tenant: str, name: str) -> Row | None:
    return await connection.fetchrow(_Q["source"], tenant, name)  # type: ignore[no-any-return]


async def list_streams(
    connection: Any, tenant: str, source: str, *, after: str | None, limit: int
) -> Sequence[Row]:
    return await connection.fetch(_Q["streams"], tenant, source, after, limit)  # type: ignore[no-any-return]


async def get_stream(connection: Any, tenant: str, source: str, stream: str) -> Row | None:
    return await connection.fetchrow(_Q["stream"], tenant, source, stream)  # type: ignore[no-any-return]


async def stream_names(connection: Any, tenant: str) -> frozenset[str]:
    """Every stream of the tenant as `source.stream`."""
    return frozenset(row["stream"] for row in await connection.fetch(_Q["stream_names"], tenant))


async def streams_with_cursor(connection: Any, tenant: str) -> frozenset[str]:
    """The streams of the tenant that have a cursor, as `source.stream`."""
    return frozenset(row["stream"] for row in await connection.fetch(_Q["streams_with_cursor"], tenant))


async def loading(
    connection: Any,
    tenant: str,
    tables: Collection[str],
    sources: Collection[str],
    endpoints: Collection[str],
) -> list[tuple[str, Any]]:
    """What loads these tables besides the streams of `sources` and `endpoints`: its name, and its destination."""
    rows = await connection.fetch(_Q["loading"], tenant, sorted(tables), sorted(sources), sorted(endpoints))
    return [(row["holder"], row["destination"]) for row in rows]


async def schedules_after(connection: Any, tenant: str) -> dict[str, list[str]]:
    """Every schedule of the tenant with those that it follows."""
    return {row["name"]: row["upstreams"] for row in await connection.fetch(_Q["schedules_after"], tenant)}


async def all_streams(connection: Any, tenant: str) -> Sequence[Row]:
    return await connection.fetch(_Q["all_streams"], tenant)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class ScheduleFilter:
    """Which schedules: each that is given applies. `text` is a part of name or description, in any case."""

    state: str | None = None
    stream: str | None = None
    source: str | None = None
    is_enabled: bool | None = None
    text: str | None = None

    @property
    def values(self) -> tuple[Any, ...]:
        return (self.state, self.stream, self.source, self.is_enabled, self.text)


async def list_schedules(
    connection: Any, tenant: str, wanted: ScheduleFilter, *, after: str | None, limit: int
) -> Sequence[Row]:
    return await connection.fetch(_Q["schedules"], tenant, after, limit, *wanted.values)  # type: ignore[no-any-return]


async def get_schedule(connection: Any, tenant: str, name: str) -> Row | None:
    """The schedule as `list_schedules` gives it."""
    return await connection.fetchrow(_Q["schedule"], tenant, name)  # type: ignore[no-any-return]


async def list_endpoints(
    connection: Any, tenant: str, *, after: str | None, limit: int, part: str | None = None
) -> Sequence[Row]:
    """By name, after `after`; `part` is a part of the name."""
    return await connection.fetch(_Q["endpoints"], tenant, after, limit, part)  # type: ignore[no-any-return]


async def get_endpoint(connection: Any, tenant: str, name: str) -> Row | None:
    return await connection.fetchrow(_Q["endpoint"], tenant, name)  # type: ignore[no-any-return]


async def list_pages(
    connection: Any, run_id: UUID, *, after: tuple[int, int, int], limit: int
) -> Sequence[Row]:
    """Pages of the run's attempts in order, after (attempt, walk, number)."""
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["pages"], time_of(run_id), run_id, *after, limit
    )


async def list_walks(connection: Any, run_id: UUID, limit: int) -> Sequence[Row]:
    return await connection.fetch(_Q["walks"], time_of(run_id), run_id, limit)  # type: ignore[no-any-return]


async def list_rejected(connection: Any, run_id: UUID, limit: int) -> Sequence[Row]:
    """The first records of the run that were not taken."""
    return await connection.fetch(_Q["rejected"], time_of(run_id), run_id, limit)  # type: ignore[no-any-return]


async def run_extent(connection: Any, run_id: UUID) -> Row:
    """`page_count` and `rejected_count` of the run, over all attempts."""
    return await connection.fetchrow(_Q["run_extent"], time_of(run_id), run_id)  # type: ignore[no-any-return]


async def highest_generation(
    connection: Any, due_at: datetime, of: tuple[str, str, str], schedule: str | None
) -> int:
    """The highest generation at a due time of `of` (tenant, source, stream); 0 when there is no run."""
    return int(await connection.fetchval(_Q["highest_generation"], due_at, *of, schedule))


async def list_dead_letters(
    connection: Any,
    tenant: str,
    *,
    with_nobodys: bool,
    queue: str | None,
    state: str | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Row]:
    at, identifier = after or (None, None)
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["dead_letters"], queue, state, limit, at, identifier, tenant, with_nobodys
    )


async def get_dead_letter(connection: Any, letter_id: UUID, tenant: str, *, with_nobodys: bool) -> Row | None:
    return await connection.fetchrow(  # type: ignore[no-any-return]
        _Q["dead_letter"], letter_id, tenant, with_nobodys
    )
