"""Every endpoint as it was read, and the address that was made of it.

Apart from the snapshot because definitions are read by their contracts, which a receiver without endpoints need not
hold.
"""

import asyncio
import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from headwater.contracts.endpoint import Endpoint
from headwater.contracts.endpoints import InboundRate
from headwater.model.errors import ConfigError, SecretError
from headwater.receiver.address import Address, Name
from headwater.receiver.addressing import address_of, secret_names
from headwater.receiver.bucket import Bucket
from headwater.receiver.ledger import Ledger
from headwater.store import endpoints
from headwater.store.keyring import Keyring

logger = logging.getLogger("headwater.receiver")
COMPILED_AT_ONCE = 20  # endpoints; a few milliseconds


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


class Entries:
    """The endpoints that were read, with the buckets of their rates."""

    def __init__(self, keyring: Keyring, ledger: Ledger) -> None:
        self._keyring = keyring
        self._ledger = ledger
        self._entries: dict[Name, _Entry] = {}
        self._buckets: dict[Name, tuple[InboundRate, Bucket]] = {}

    def known(self) -> list[tuple[str, str, datetime]]:
        """Tenant and name of each, and when it was changed last."""
        return [(*name, entry.updated_at) for name, entry in self._entries.items()]

    def keep_only(self, names: Container[Name]) -> None:
        """Forget all others."""
        self._entries = {name: entry for name, entry in self._entries.items() if name in names}
        self._buckets = {name: pair for name, pair in self._buckets.items() if name in names}

    async def read(self, connection: Any, rows: Sequence[Mapping[str, Any]]) -> dict[Name, Address]:
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
