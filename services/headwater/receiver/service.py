"""The receiver as a service: keeps its snapshot fresh and offers its route."""

import asyncio
import logging

from aiohttp import web

from headwater.bus.port import Bus
from headwater.model.clock import Clock
from headwater.model.errors import Unavailable
from headwater.model.secret import Secret
from headwater.receiver.endpoints import RELOAD_S, Endpoints
from headwater.receiver.safekeeping import Safekeeping
from headwater.receiver.web import PATH, Intake
from headwater.store.bell import Bell, listening
from headwater.store.config import CONFIG_CHANNEL
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.receiver")
MAX_SNAPSHOT_AGE_S = 24 * 3600.0


class Receiver:
    """`spool` is a pool of its own, so that configuration and spool do not wait for one another."""

    name = "receiver"

    def __init__(
        self,
        database: Database,
        spool: Database,
        url: Secret,
        bus: Bus,
        keyring: Keyring,
        bell: Bell,
        clock: Clock,
        metrics: Metrics,
        public_url: str,
    ) -> None:
        self._url = url
        self._endpoints = Endpoints(database, keyring, clock)
        self._safekeeping = Safekeeping(bus, spool, bell)
        self._intake = Intake(self._endpoints, self._safekeeping, clock, metrics, public_url)

    def routes(self) -> list[web.RouteDef]:
        return [web.post(PATH, self._intake.handle)]

    async def ready(self) -> str | None:
        """None when ready, else what is missing."""
        age_s = self._endpoints.age_s
        if age_s is None:
            return "the endpoints are not loaded yet"
        return None if age_s < MAX_SNAPSHOT_AGE_S else f"the endpoints are {age_s:.0f} s old"

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the snapshot fresh until `stop` is set."""
        async with listening(self._url, CONFIG_CHANNEL) as changed:
            ending = asyncio.ensure_future(stop.wait())
            try:
                while not stop.is_set():
                    changed.clear()
                    await self._reload()
                    ringing = asyncio.ensure_future(changed.wait())
                    await asyncio.wait(
                        {ringing, ending}, timeout=RELOAD_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    ringing.cancel()
            finally:
                ending.cancel()
                await self._safekeeping.close()

    async def _reload(self) -> None:
        try:
            await self._endpoints.load()
        except Unavailable as error:
            logger.warning("the endpoints could not be read anew; the last ones serve: %s", error)
