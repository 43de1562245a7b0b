"""The receiver's snapshot of all endpoints, with their secrets opened once.

It is read anew when the configuration changes, after every reconnect and every 30 s; while the database is away the
last one serves, up to an age. An endpoint that it does not know costs one look-up, rate-limited, before 404; so does a
signature that does not verify, since its secret may be newer than the snapshot.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from headwater.model.clock import Clock
from headwater.model.errors import Unavailable
from headwater.receiver.address import Address, Name
from headwater.receiver.ledger import Ledger
from headwater.store import endpoints
from headwater.store.database import Database
from headwater.store.keyring import Keyring

if TYPE_CHECKING:
    from headwater.receiver.entries import Entries

RELOAD_S = 30.0
LOOK_UP_S = 0.5
FIRST_LOOK_UP_S = 1.0  # of the first endpoint, which brings what reads it along
LOOK_UPS_PER_S = 20  # of unknown endpoints, so that guessing names does not become a load on the database
LOOK_AGAIN_S = 0.1  # between two looks after signatures that do not verify, of one endpoint
MAX_LOOKS = 32  # looks under way, of all endpoints
T = TypeVar("T")


@dataclass(slots=True)
class _Look:
    """A look at an endpoint that several requests wait for. One that reads already is too late to join."""

    task: asyncio.Task[Address | None] | None = None
    is_reading: bool = False


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
        self._entries: Entries | None = None  # before the first endpoint
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
            known = [] if self._entries is None else self._entries.known()
            read = await self._read(connection, await endpoints.snapshot(connection, known))
        newer = {name for name, at in self._read_at.items() if at >= started}
        self._read_at = {name: self._read_at[name] for name in newer}
        self._known = {**read, **{name: self._known[name] for name in newer if name in self._known}}
        self._loaded_at = started
        if self._entries is not None:
            self._entries.keep_only(self._known)
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
        done, _ = await asyncio.wait({task}, timeout=self._look_up_s)
        found, is_known = task.result() if done else (None, False)
        if not is_known and not self._known:
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
        async with asyncio.timeout(self._look_up_s), self._database.connection() as connection:
            row = await endpoints.one_enabled(connection, tenant, name)
            found = {} if row is None else await self._read(connection, [row])
        if started >= self._read_at.get((tenant, name), 0.0):
            self._known = {**self._known, **found}
            if found:
                self._read_at[tenant, name] = started
        return found.get((tenant, name))

    @property
    def _look_up_s(self) -> float:
        return FIRST_LOOK_UP_S if self._entries is None else LOOK_UP_S

    def _may_look_up(self) -> bool:
        now = self._clock.monotonic()
        self._look_ups = [moment for moment in self._look_ups if moment > now - 1.0]
        if len(self._look_ups) >= LOOK_UPS_PER_S:
            return False
        self._look_ups.append(now)
        return True

    async def _read(self, connection: Any, rows: Sequence[Mapping[str, Any]]) -> dict[Name, Address]:
        """The addresses of `rows`."""
        if self._entries is None:
            if not rows:
                return {}
            # All contracts of endpoints come along, and the library that reads them: nine megabytes.
            from headwater.receiver.entries import Entries  # noqa: PLC0415 - heavy: only where there are endpoints

            self._entries = Entries(self._keyring, self._ledger)
        return await self._entries.read(connection, rows)
