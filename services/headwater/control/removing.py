"""Tenants that are being removed, with all below them, in transactions that hold few rows for moments.

Whoever looks begins at the first table: what is gone costs a glance, so a removal goes on after any interruption, and
two that do the same hinder nobody. Transactions that were under way when a tenant ended may leave rows behind the look:
a second one, when none of them can be left, takes these.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from headwater.control.broker_users import remove_broker_user
from headwater.model.errors import ConfigError, Unavailable
from headwater.model.names import schema_for
from headwater.model.secret import Secret
from headwater.plugins.destinations import schemas
from headwater.plugins.destinations.role import as_loader
from headwater.store import tenants
from headwater.store.bell import wait_any
from headwater.store.database import Database
from headwater.telemetry.repeats import Repeats

logger = logging.getLogger("headwater.control")
BLOCKS = 500  # of 8 KiB: some ten thousand rows of pages a transaction
LOOK_EVERY_S = 5.0
LATE_S = 300.0  # > the longest transaction, and the waiting queues
NAME_DAYS = 30  # > the longest that a message may wait anywhere
IsOver = Callable[[], bool]


class Removal:
    """`worker` acts as role `headwater_worker`; `management_url` as in `Control`."""

    def __init__(self, worker: Database, management_url: Secret | None) -> None:
        self._database = worker
        self._management_url = management_url
        self._repeats = Repeats()

    async def run(self, stop: asyncio.Event) -> None:
        """Go on with every removal until `stop` is set."""
        while not stop.is_set():
            await self.look(stop.is_set)
            await wait_any(LOOK_EVERY_S, stop)

    async def look(self, is_over: IsOver) -> None:
        """Do what is to be done now, as long as it is not over."""
        try:
            async with self._database.transaction() as connection:
                ending = await tenants.ending(connection)
                late = await tenants.late(connection, LATE_S)
                await tenants.forget_names(connection, NAME_DAYS)
            for tenant in ending:
                await self.remove(tenant, is_over)
            for tenant in late:
                await self._sweep(tenant, is_over)
            await self._drop_again(is_over)
        except Unavailable as error:
            if self._repeats.is_due(str(error)):
                logger.warning("removed tenants wait for their next look: %s", error)
        except Exception:
            logger.exception("removed tenants wait for the next look")

    async def remove(self, tenant: str, is_over: IsOver) -> bool:
        """Remove what an ending tenant has, and the tenant; whether it is gone. What stands in the way is logged."""
        try:
            if not await self._empty(tenant, is_over):
                return False
            if self._management_url is not None:
                await remove_broker_user(self._management_url, tenant)
            async with self._database.transaction() as connection:
                if await tenants.finish(connection, tenant):
                    logger.info("tenant %s is removed with all below it", tenant)
        except (Unavailable, ConfigError) as error:
            logger.warning("the removal of tenant %s goes on later: %s", tenant, error)
            return False
        except Exception:
            logger.exception("the removal of tenant %s is tried again later", tenant)
            return False
        return True

    async def _sweep(self, tenant: str, is_over: IsOver) -> None:
        if await self._empty(tenant, is_over):
            async with self._database.transaction() as connection:
                await tenants.note_swept(connection, tenant)

    async def _drop_again(self, is_over: IsOver) -> None:
        """Drop tables that a persister made for a message of before: it knew the run from its first pages."""
        async with self._database.transaction() as connection:
            names = {schema_for(each): each for each in await tenants.ended(connection)}
            if not names:
                return
            async with as_loader(connection):
                found = await schemas.those_there(connection, names)
        for schema in sorted(found):
            await self._drop_tables(names[schema], is_over)

    async def _empty(self, tenant: str, is_over: IsOver) -> bool:
        """Remove rows and tables of the tenant; False when it was over before."""
        async with self._database.transaction() as connection:
            tables = await tenants.tables(connection, tenant)
        for table in tables:
            for block in range(0, table.block_count, BLOCKS):
                if is_over():
                    return False
                async with self._database.transaction() as connection:
                    await tenants.forget(connection, tenant, table.name, block, BLOCKS)
        return await self._drop_tables(tenant, is_over)

    async def _drop_tables(self, tenant: str, is_over: IsOver) -> bool:
        schema = schema_for(tenant)
        async with self._loading(tenant) as connection:
            tables = () if connection is None else await schemas.own_tables(connection, schema)
        for table in tables:
            if is_over():
                return False
            async with self._loading(tenant) as connection:
                if connection is not None:
                    await schemas.drop_table(connection, schema, table)
        async with self._loading(tenant) as connection:
            if connection is not None:
                await schemas.drop_schema(connection, schema)
        return True

    @asynccontextmanager
    async def _loading(self, tenant: str) -> AsyncIterator[Any]:
        """A transaction of the tables' owner; None when the name is another tenant's by now."""
        async with self._database.transaction() as connection:
            if not await tenants.hold(connection, tenant):
                yield None
                return
            async with as_loader(connection):
                yield connection


def over_after(seconds: float) -> IsOver:
    """Over when so many seconds have passed from now on."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    return lambda: loop.time() > end
