"""Destinations that are other PostgreSQL databases: which one is meant, and its connections.

What is wrong with such a database is its own: a load waits for it (`Later`) or fails (`DestinationError`), and loads
into headwater's own tables go on.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from uuid import UUID

from headwater.contracts.destinations import OWN, database_fault
from headwater.contracts.source import StreamDefinition
from headwater.model.errors import ConfigError, DestinationError, Unavailable
from headwater.persister.addresses import address_of, named
from headwater.persister.residue import FAR
from headwater.plugins.destinations import Batch, Loaded, Plan, PostgresDestination, Table
from headwater.plugins.destinations.errors import AWAY_S, AwayError, told_of
from headwater.plugins.destinations.once import Page, is_first, load_once, make_notes, noted, wait_for_loads
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.store.ledger import PageKey

MAX_OPEN = 32  # databases that nobody loads into; the one that was not used for longest is left first
CONNECTIONS = 4  # to each


class FarTable(NamedTuple):
    """A table of another database: `to` is the destination's name."""

    tenant: str
    to: str
    table: Table

    @property
    def label(self) -> str:
        """What it is called among tables of headwater's own database."""
        return f"{self.to}{FAR}{self.table.name}"


def table_of_place(place: object) -> Table | None:
    """The table that `place` is, wherever it is; None for an exchange, and for nothing."""
    if isinstance(place, FarTable):
        return place.table
    return place if isinstance(place, Table) else None


@dataclass(slots=True)
class Far:
    """One database of somebody else's, and what is remembered of its tables."""

    name: str
    database: Database
    destination: PostgresDestination
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    away: str = ""  # what the last one met who asked for it
    away_until: float = 0.0  # by the clock of the loop
    uses: int = 0  # transactions that are open or about to be

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A transaction there, committed when the body ends well.

        While the database is away it is asked once in AWAY_S: each question may take seconds, and whoever asks loads
        nothing else meanwhile. Raises: Later while it is away, DestinationError where it lets nobody in.
        """
        loop = asyncio.get_running_loop()
        left_s = self.away_until - loop.time()
        if self.away and left_s > 0:
            raise AwayError(left_s, self.away)
        self.uses += 1
        try:
            async with self._transaction() as connection:
                yield connection
        except AwayError as error:
            self.away, self.away_until = str(error), loop.time() + AWAY_S
            raise
        finally:
            self.uses -= 1

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        with told_of(self.name):
            async with self.opening:
                await self.database.open()
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(self.database.transaction())
                except ValueError:  # of the client, for parts of an address that it cannot read
                    raise ConfigError("the address cannot be read") from None
                yield connection


class FarDatabases:
    """The other databases in use: beside those that are loaded into, so many that there are MAX_OPEN."""

    def __init__(self, database: Database, keyring: Keyring | None = None) -> None:
        self._database = database
        self._keyring = keyring
        self._open: OrderedDict[tuple[str, bytes], Far] = OrderedDict()

    async def schemas(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Those of the destinations (tenant, name) that are other databases, each with its tables' schema."""
        found = await named(self._database, wanted)
        return {of: one.table_schema for of, one in found.items() if one.is_far}

    async def table_of(self, definition: StreamDefinition, table: Table) -> FarTable | None:
        """Where `table` of the stream is, if it is in another database."""
        place = far_or_own(definition, table, await self.schemas(named_by([definition])))
        return place if isinstance(place, FarTable) else None

    async def at(self, place: FarTable) -> Far:
        """The database of `place`. Raises: DestinationError when it is not there any more, or a secret is missing."""
        of = (place.tenant, place.to)
        one = (await named(self._database, [of])).get(of)
        if one is None or one.url is None:
            raise DestinationError(f"destination {place.to}: it is not there any more, or no database")
        try:
            url = await address_of(self._database, self._keyring, place.tenant, one.url)
        except DestinationError as error:
            raise DestinationError(f"destination {place.to}: {error}") from error
        fault = database_fault(url.text())
        if fault is not None:  # what a secret hid from validation
            raise DestinationError(f"destination {place.to}: its url {fault}")
        key = (place.to, url.reveal())
        far = self._open.get(key)
        if far is None:
            far = self._open[key] = Far(
                place.to, Database(url, None, size=CONNECTIONS), PostgresDestination()
            )
        self._open.move_to_end(key)
        await self._leave_idle(far)
        return far

    async def _leave_idle(self, wanted: Far) -> None:
        """Leave those that are too many and that nobody uses, but for `wanted`."""
        idle = [key for key, far in self._open.items() if not far.uses and far is not wanted]
        for key in idle[: max(0, len(self._open) - MAX_OPEN)]:
            await self._open.pop(key).database.close()

    async def close(self) -> None:
        """Leave all."""
        opened, self._open = self._open, OrderedDict()
        with contextlib.suppress(Unavailable):
            await asyncio.gather(*(far.database.close() for far in opened.values()))


def named_by(definitions: Iterable[StreamDefinition]) -> set[tuple[str, str]]:
    """The destinations with a name, as (tenant, name), whose tables the streams load."""
    found = ((one.tenant, one.stream.destination) for one in definitions)
    return {
        (tenant, to.to) for tenant, to in found if to is not None and to.table is not None and to.to != OWN
    }


def far_or_own(
    definition: StreamDefinition, table: Table, schemas: Mapping[tuple[str, str], str]
) -> Table | FarTable:
    """The stream's table, in the database where it is; `schemas` are those of other databases."""
    destination = definition.stream.destination
    assert destination is not None
    schema = schemas.get((definition.tenant, destination.to))
    if schema is None:
        return table
    return FarTable(definition.tenant, destination.to, replace(table, schema=schema))


async def prepare(far: Far, table: Table, batches: Sequence[Batch]) -> Plan:
    """The plan of the load; the table is created and evolved where the records need it."""
    known = far.destination.planned(table, batches)
    if known is not None:
        return known
    async with far.transaction() as connection:
        await make_notes(connection, table.schema)
        return await far.destination.prepare(connection, table, batches)


class _OursError(Exception):
    """A fault of the body of `loading`, which no words about the other database belong to."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self.fault = fault


@contextlib.contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except Exception as fault:
        raise _OursError(fault) from fault


@asynccontextmanager
async def loading(
    far: Far,
    plan: Plan,
    keys: Sequence[PageKey],
    batches: Sequence[Batch],
    attempts: Iterable[PageKey],
    take: Callable[[PageKey], Awaitable[Sequence[UUID]]],
) -> AsyncIterator[Loaded]:
    """The batches of the pages `keys` loaded, each once; they are committed when the body ends well, and undone when it
    does not. So the body settles the pages, and what it locks stays as it is until the rows are there.

    `attempts`: a page of each attempt that must find nothing of its stream's unfinished runs; before its first page
    `take` gives these runs, and their rows go.
    """
    pages = [Page(key.run_id, key.attempt, key.walk, key.number) for key in keys]
    schema = plan.table.schema
    try:
        async with far.transaction() as connection:
            with noted(far.destination, plan.table):
                for key in attempts:
                    if await is_first(connection, schema, key.run_id, key.attempt):
                        with _ours():
                            gone = await take(key)
                        await wait_for_loads(connection, gone)
                        await far.destination.remove_unfinished(connection, plan.table, gone)
                loaded = await load_once(connection, far.destination, plan, pages, batches)
            with _ours():
                yield loaded
    except _OursError as error:
        raise error.fault from error.fault.__cause__
