"""The receiver as a service: keeps its snapshot fresh, writes down what came, and offers its route."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from headwater.bus.port import Bus
from headwater.http.expecting import put_off
from headwater.http.short import ShortWay
from headwater.model.clock import Clock
from headwater.model.errors import Unavailable
from headwater.model.secret import Secret
from headwater.receiver.certificates import Certificates
from headwater.receiver.confirmations import Confirmations
from headwater.receiver.endpoints import RELOAD_S, Endpoints
from headwater.receiver.ledger import Ledger
from headwater.receiver.prompt import PromptIntake
from headwater.receiver.providers import Providers
from headwater.receiver.reading import PATIENCE, Budget, Patience
from headwater.receiver.safekeeping import Safekeeping
from headwater.receiver.senders import Senders
from headwater.receiver.shaking import Handshakes
from headwater.receiver.web import PATH, Intake
from headwater.store.bell import Bell, listening
from headwater.store.config import CONFIG_CHANNEL
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.receiver")
WRITE_EVERY_S = 5.0
LOOK_EVERY_S = 1.0  # whoever was refused is asked about at once
MAX_SNAPSHOT_AGE_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the receiver stands. `bound_url` is its own address; `public_url` what the operator set, or None."""

    bound_url: str
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    max_snapshot_age_s: float = MAX_SNAPSHOT_AGE_S
    patience: Patience = PATIENCE


class Receiver:
    """`spool` is a pool of its own, so that configuration and spool do not wait for one another."""

    name = "receiver"
    bridges = True  # it spools without a broker, and serves from its snapshot without a database

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
        place: Place,
    ) -> None:
        self._database = database
        self._url = url
        self._metrics = metrics
        self._clock = clock
        self._max_age_s = place.max_snapshot_age_s
        self._providers = Providers(clock)
        self._ledger = Ledger()
        self._endpoints = Endpoints(database, keyring, clock, self._ledger, place.max_snapshot_age_s)
        self._safekeeping = Safekeeping(bus, spool, bell, clock)
        self._certificates = Certificates(self._providers.certificate, clock)
        self._confirmations = Confirmations(self._providers.confirm, clock)
        senders = Senders(place.bound_url, place.public_url, place.trusted_proxies)
        budget = Budget()
        self._intake = Intake(
            self._endpoints,
            senders,
            self._safekeeping,
            Handshakes(database, keyring, self._confirmations),
            self._certificates,
            self._ledger,
            clock,
            metrics,
            place.patience,
            budget,
        )
        self._prompt = PromptIntake(self._endpoints, senders, self._safekeeping, budget, clock, metrics)

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", PATH, self._intake.handle, expect_handler=put_off)]

    def short_way(self) -> ShortWay:
        """For plain requests."""
        return self._prompt.way()

    async def ready(self) -> str | None:
        """None when ready, else what is missing."""
        age_s = self._endpoints.age_s
        if age_s is None:
            return "the endpoints are not loaded yet"
        return None if age_s < self._max_age_s else f"the endpoints are {age_s:.0f} s old"

    def facts(self) -> Mapping[str, float | int | None]:
        """For `/readyz`: how old the snapshot of the endpoints is, and how old it may be."""
        age_s = self._endpoints.age_s
        return {
            "endpoints": len(self._endpoints),
            "snapshot_age_s": None if age_s is None else round(age_s, 1),
            "snapshot_max_age_s": self._max_age_s,
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        try:
            async with (
                listening(self._url, CONFIG_CHANNEL) as changed,
                self._safekeeping.running(),
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self._keep_fresh(stop, changed), name="receiver.snapshot")
                group.create_task(self._keep_books(stop), name="receiver.books")
                await stop.wait()
                await self._safekeeping.close()
        finally:
            await self._certificates.close()
            await self._confirmations.close()
            await self._providers.close()

    async def _keep_fresh(self, stop: asyncio.Event, changed: asyncio.Event) -> None:
        ending = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                changed.clear()
                await self._reload()
                ringing = asyncio.ensure_future(changed.wait())
                await asyncio.wait({ringing, ending}, timeout=RELOAD_S, return_when=asyncio.FIRST_COMPLETED)
                ringing.cancel()
        finally:
            ending.cancel()

    async def _reload(self) -> None:
        try:
            await self._endpoints.load()
        except Unavailable as error:
            logger.warning("the endpoints could not be read anew; the last ones serve: %s", error)

    async def _keep_books(self, stop: asyncio.Event) -> None:
        written_at = self._clock.monotonic()
        while not stop.is_set():
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                pass
            now = self._clock.monotonic()
            if not (stop.is_set() or self._ledger.has_samples or now - written_at >= WRITE_EVERY_S):
                continue
            written_at = now
            await self._ledger.write(self._database)
            self._metrics.snapshot_age_seconds.set(self._endpoints.age_s or 0.0)
