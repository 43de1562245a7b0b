"""The receiver's snapshot of all endpoints, with their secrets opened once.

It is read anew when the configuration changes, after every reconnect and every 30 s; while the database is away
the last one serves. An endpoint that it does not know costs one look-up, rate-limited, before 404.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.contracts.manifest import Endpoint
from headwater.model.clock import Clock
from headwater.model.errors import ConfigError, SecretError, Unavailable
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.plugins.signatures import Scheme, Verifier, bind, check_secrets, compile_definition, preset
from headwater.store import config
from headwater.store.database import Database
from headwater.store.keyring import Keyring

logger = logging.getLogger("headwater.receiver")
RELOAD_S = 30.0
DEFAULT_TOLERANCE_S = 300.0
LOOK_UPS_PER_S = 20  # of unknown endpoints, so that guessing names does not become a load on the database


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint as the receiver needs it."""

    tenant: str
    endpoint: Endpoint
    scheme: Scheme
    verifier: Verifier

    @property
    def tolerance_s(self) -> float:
        """The endpoint's own, else the provider's advice, else 5 minutes."""
        return self.endpoint.tolerance_s or self.scheme.tolerance_s or DEFAULT_TOLERANCE_S


class Endpoints:
    """All endpoints by (tenant, name)."""

    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._known: Mapping[tuple[str, str], Address] = {}
        self._loaded_at: float | None = None
        self._look_ups: list[float] = []

    @property
    def age_s(self) -> float | None:
        """Seconds since the snapshot was read; None before the first."""
        return None if self._loaded_at is None else self._clock.monotonic() - self._loaded_at

    async def load(self) -> None:
        """Read the snapshot. Raises: Unavailable; then the last one stays."""
        started = self._clock.monotonic()
        async with self._database.connection() as connection:
            self._known = await self._read(connection, await config.all_endpoints(connection))
        self._loaded_at = started

    async def find(self, tenant: str, name: str) -> Address | None:
        found = self._known.get((tenant, name))
        if found is not None or not self._may_look_up():
            return found
        try:
            async with asyncio.timeout(0.5), self._database.connection() as connection:
                row = await config.one_endpoint(connection, tenant, name)
                more = {} if row is None else await self._read(connection, [row])
        except (Unavailable, TimeoutError):
            if self._loaded_at is None:
                raise Unavailable("no endpoint is known yet, and the database is away") from None
            return None
        self._known = {**self._known, **more}
        return more.get((tenant, name))

    def _may_look_up(self) -> bool:
        now = self._clock.monotonic()
        self._look_ups = [moment for moment in self._look_ups if moment > now - 1.0]
        if len(self._look_ups) >= LOOK_UPS_PER_S:
            return False
        self._look_ups.append(now)
        return True

    async def _read(
        self, connection: Any, rows: Sequence[Mapping[str, Any]]
    ) -> dict[tuple[str, str], Address]:
        endpoints = [(row["tenant"], Endpoint.model_validate(row["definition"])) for row in rows]
        wanted = [(t, name) for t, e in endpoints for text in e.secrets for name in names_in(text)]
        secrets = await self._open(connection, wanted)
        found = {}
        for tenant, endpoint in endpoints:
            try:
                found[tenant, endpoint.name] = address_of(tenant, endpoint, secrets)
            except (ConfigError, SecretError) as error:
                logger.error("endpoint %s/%s is out of service: %s", tenant, endpoint.name, error)
        return found

    async def _open(
        self, connection: Any, wanted: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Secret]:
        try:
            return await config.get_secrets(connection, self._keyring, wanted)
        except SecretError as error:
            logger.error("%s", error)
        opened: dict[tuple[str, str], Secret] = {}
        for pair in wanted:  # one that does not open must not take the others with it
            try:
                opened |= await config.get_secrets(connection, self._keyring, [pair])
            except SecretError:
                continue
        return opened


def scheme_of(endpoint: Endpoint) -> Scheme:
    """The endpoint's signature scheme. Raises: ConfigError."""
    if endpoint.definition is not None:
        return compile_definition(endpoint.definition)
    return preset(endpoint.scheme or "")


def address_of(tenant: str, endpoint: Endpoint, secrets: Mapping[tuple[str, str], Secret]) -> Address:
    """The endpoint ready to verify. Raises: ConfigError, SecretError when a secret is missing or unusable."""
    opened = []
    for text in endpoint.secrets:
        names = names_in(text)
        secret = secrets.get((tenant, names[0])) if names else Secret.of(text)
        if secret is None:
            raise SecretError(f"secret {names[0]!r} is not there: set it, or correct the name")
        opened.append(secret)
    scheme = scheme_of(endpoint)
    check_secrets(scheme, opened)
    return Address(tenant, endpoint, scheme, bind(scheme, opened))
