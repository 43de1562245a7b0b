"""The receiver's snapshot of all endpoints, with their secrets opened once.

It is read anew when the configuration changes, after every reconnect and every 30 s; while the database is away the
last one serves, up to an age. An endpoint that it does not know costs one look-up, rate-limited, before 404; so does a
signature that does not verify, since its secret may be newer than the snapshot.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from headwater.contracts.endpoint import Endpoint
from headwater.contracts.endpoints import InboundRate
from headwater.model.clock import Clock
from headwater.model.errors import ConfigError, SecretError, Unavailable
from headwater.receiver.address import Address, address_of, secret_names
from headwater.receiver.bucket import Bucket
from headwater.receiver.ledger import Ledger
from headwater.store import endpoints
from headwater.store.database import Database
from headwater.store.keyring import Keyring

logger = logging.getLogger("headwater.receiver")
RELOAD_S = 30.0
LOOK_UP_S = 0.5
COMPILED_AT_ONCE = 20  # endpoints; a few milliseconds
LOOK_UPS_PER_S = 20  # of unknown endpoints, so that guessing names does not become a load on the database
LOOK_AGAIN_S = 0.1  # between two looks after signatures that do not verify, of one endpoint
MAX_LOOKS = 32  # looks under way, of all endpoints
T = TypeVar("T")
Name = tuple[str, str]  # tenant, endpoint


@dataclass(slots=True)
class _Look:
    """A look at an endpoint that several requests wait for. One that reads already is too late to join."""

    task: asyncio.Task[Address | None] | None = None
    is_reading: bool = False


@dataclass(slots=True)
class _Entry:
    """An endpoint as it was read, and what was made of it; `address` is None where that was not possible."""

    tenant: str
    endpoint: Endpoint
    updated_at: datetime
    learnt: str | None
    names: tuple[str, ...]
    sealed: Mapping[str, bytes | None] = field(default_factory=dict)
    address: Address | None = None


class Endpoints:
    """All endpoints by (tenant, name). `max_age_s`: how old a snapshot may be to serve."""

    def __init__(
        self, database: Database, keyring: Keyring, clock: Clock, ledger: Ledger, max_age_s: float
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._ledger = ledger
        self._max_age_s = max_age_s
        self._known: Mapping[Name, Address] = {}
        self._entries: dict[Name, _Entry] = {}
        self._buckets: dict[Name, tuple[InboundRate, Bucket]] = {}
        self._loaded_at: float | None = None
        self._look_ups: list[float] = []
        self._read_at: dict[Name, float] = {}  # endpoints that were read alone, since the snapshot
        self._looks: dict[Name, _Look] = {}
        self._under_way: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def age_s(self) -> float | None:
        """Seconds since the snapshot was read; None before the first."""
        return None if self._loaded_at is None else self._clock.monotonic() - self._loaded_at

    async def load(self) -> None:
        """Read the snapshot. Raises: Unavailable; then the last one stays."""
        started = self._clock.monotonic()
        async with self._database.connection() as connection:
            known = [(*name, entry.updated_at) for name, entry in self._entries.items()]
            read = await self._read(connection, await endpoints.snapshot(connection, known))
        newer = {name for name, at in self._read_at.items() if at >= started}
        self._read_at = {name: self._read_at[name] for name in newer}
        self._known = {**read, **{name: self._known[name] for name in newer if name in self._known}}
        self._loaded_at = started
        self._entries = {name: entry for name, entry in self._entries.items() if name in self._known}
        self._buckets = {name: pair for name, pair in self._buckets.items() if name in self._known}
        self._ledger.keep_only(self._known)

    def known(self, tenant: str, name: str) -> Address | None:
        """The endpoint as the snapshot has it; None when it has none, or is older than it may be."""
        found = self._known.get((tenant, name))
        is_fresh = (
            self._loaded_at is not None and self._clock.monotonic() - self._loaded_at <= self._max_age_s
        )
        return found if is_fresh else None

    async def find(self, tenant: str, name: str) -> Address | None:
        """The endpoint; None when there is none. Raises: Unavailable when that is not known."""
        found = self._known.get((tenant, name))
        if found is not None:
            if self._loaded_at is not None and self._clock.monotonic() - self._loaded_at > self._max_age_s:
                raise Unavailable("the endpoints are older than they may be")
            return found
        if not self._may_look_up():
            if self._loaded_at is None:
                raise Unavailable("no endpoint is known yet")
            return None
        task = self._begin(self._looked_up(tenant, name))
        done, _ = await asyncio.wait({task}, timeout=LOOK_UP_S)
        found, is_known = task.result() if done else (None, False)
        if not is_known and self._loaded_at is None:
            raise Unavailable("no endpoint is known yet, and the database is away")
        return found

    async def look_again(self, address: Address) -> Address | None:
        """The endpoint as the database has it after this moment; None when that cannot be known.

        Requests that ask in the same moment share a look.
        """
        name = (address.tenant, address.name)
        look = self._looks.get(name)
        if look is None or look.is_reading:
            if len(self._under_way) >= MAX_LOOKS:
                return None
            look = self._looks[name] = _Look()
            look.task = self._begin(self._look(name, look))
        assert look.task is not None
        done, _ = await asyncio.wait({look.task}, timeout=LOOK_AGAIN_S + LOOK_UP_S)
        return look.task.result() if done else None

    async def refresh(self, address: Address) -> None:
        """Read an endpoint anew that this receiver changed itself."""
        task = self._begin(self._looked_up(address.tenant, address.name))
        await asyncio.wait({task}, timeout=LOOK_UP_S)

    async def _look(self, name: Name, look: _Look) -> Address | None:
        await asyncio.sleep(max(0.0, self._read_at.get(name, 0.0) + LOOK_AGAIN_S - self._clock.monotonic()))
        look.is_reading = True
        try:
            return (await self._looked_up(*name))[0]
        finally:
            if self._looks.get(name) is look:
                del self._looks[name]

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A look that nobody needs to wait for: a database that says nothing lets go of nothing for seconds."""
        task = asyncio.create_task(work, name="endpoint.look")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _looked_up(self, tenant: str, name: str) -> tuple[Address | None, bool]:
        """The endpoint, and whether that is known."""
        try:
            return await self._look_up(tenant, name), True
        except (Unavailable, TimeoutError):
            return None, False

    async def _look_up(self, tenant: str, name: str) -> Address | None:
        started = self._clock.monotonic()
        async with asyncio.timeout(LOOK_UP_S), self._database.connection() as connection:
            row = await endpoints.one_enabled(connection, tenant, name)
            found = {} if row is None else await self._read(connection, [row])
        if started >= self._read_at.get((tenant, name), 0.0):
            self._known = {**self._known, **found}
            if found:
                self._read_at[tenant, name] = started
        return found.get((tenant, name))

    def _may_look_up(self) -> bool:
        now = self._clock.monotonic()
        self._look_ups = [moment for moment in self._look_ups if moment > now - 1.0]
        if len(self._look_ups) >= LOOK_UPS_PER_S:
            return False
        self._look_ups.append(now)
        return True

    async def _read(self, connection: Any, rows: Sequence[Mapping[str, Any]]) -> dict[Name, Address]:
        """The addresses of `rows`; those whose definition and secrets did not change stay the ones they are."""
        entries = [entry for entry in map(self._entry, rows) if entry is not None]
        wanted = [(entry.tenant, name) for entry in entries for name in entry.names]
        sealed = await endpoints.sealed(connection, wanted)
        found: dict[Name, Address] = {}
        for count, entry in enumerate(entries):
            name = (entry.tenant, entry.endpoint.name)
            own = {secret: sealed.get((entry.tenant, secret)) for secret in entry.names}
            if entry.address is None or own != entry.sealed:
                entry.sealed, entry.address = own, self._compiled(entry, own)
                if count % COMPILED_AT_ONCE == COMPILED_AT_ONCE - 1:
                    await asyncio.sleep(0)  # requests go on meanwhile
            self._entries[name] = entry
            if entry.address is not None:
                found[name] = entry.address
        return found

    def _entry(self, row: Mapping[str, Any]) -> "_Entry | None":
        name, learnt = (row["tenant"], row["name"]), row["handshake_secret"]
        known = self._entries.get(name)
        try:
            if row["definition"] is not None:
                endpoint = Endpoint.model_validate(row["definition"])
            elif known is None:
                return None  # it was forgotten while the query was under way: the next one brings it
            elif known.learnt == learnt:
                return known
            else:
                endpoint = known.endpoint
            return _Entry(
                row["tenant"], endpoint, row["updated_at"], learnt, tuple(secret_names(endpoint, learnt))
            )
        except ValidationError as error:
            logger.error("endpoint %s/%s is out of service: %s", *name, error)
            return None

    def _compiled(self, entry: "_Entry", sealed: Mapping[str, bytes | None]) -> Address | None:
        tenant, endpoint = entry.tenant, entry.endpoint
        try:
            secrets = {
                (tenant, name): self._keyring.open(tenant, name, value)
                for name, value in sealed.items()
                if value is not None
            }
            tally = self._ledger.tally(tenant, endpoint.name)
            return address_of(tenant, endpoint, secrets, tally, self._bucket(tenant, endpoint), entry.learnt)
        except (ConfigError, SecretError) as error:
            logger.error("endpoint %s/%s is out of service: %s", tenant, endpoint.name, error)
            return None

    def _bucket(self, tenant: str, endpoint: Endpoint) -> Bucket | None:
        """The endpoint's bucket, the same one as before unless its rate changed."""
        rate, name = endpoint.limits.rate, (tenant, endpoint.name)
        if rate is None:
            return None
        known = self._buckets.get(name)
        if known is None or known[0] != rate:
            known = self._buckets[name] = (rate, Bucket(rate.requests, rate.per_s, rate.burst))
        return known[1]
