"""What each endpoint's deliveries do, compiled once per change of the endpoint."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from headwater.contracts.destination import Destination
from headwater.contracts.endpoint import Endpoint
from headwater.model.errors import ConfigError, SecretError
from headwater.model.secret import Secret
from headwater.plugins.webhooks.effects import Effects, compile_effects
from headwater.store import config, endpoints
from headwater.store.database import Database
from headwater.store.keyring import Keyring

logger = logging.getLogger("headwater.persister")
MAX_KEPT = 5000
Name = tuple[str, str]  # tenant, endpoint


@dataclass(frozen=True, slots=True)
class _Known:
    updated_at: datetime
    effects: Effects | str


class EndpointEffects:
    """The least recently used goes first."""

    def __init__(self, database: Database, keyring: Keyring | None = None) -> None:
        self._database = database
        self._keyring = keyring
        self._known: OrderedDict[Name, _Known] = OrderedDict()
        self._keys: dict[str, dict[str, Secret]] = {}

    async def of(self, names: set[Name]) -> Mapping[Name, Effects | str]:
        """The effects by endpoint, as the endpoint is defined now; a text says why there are none.

        Endpoints that do not exist are missing. Raises: Unavailable.
        """
        asked = [
            (*name, self._known[name].updated_at if name in self._known else None) for name in sorted(names)
        ]
        async with self._database.connection() as connection:
            rows = await endpoints.changed(connection, asked)
            found = self._found(rows)
            await self._open_keys(connection, found)
        while len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)
        return found

    def _found(self, rows: Sequence[Mapping[str, Any]]) -> dict[Name, Effects | str]:
        found: dict[Name, Effects | str] = {}
        for row in rows:
            name = (row["tenant"], row["name"])
            if row["definition"] is not None:
                self._known[name] = _Known(row["updated_at"], _compiled(name, row["definition"]))
            self._known.move_to_end(name)
            found[name] = self._known[name].effects
        return found

    async def _open_keys(self, connection: Any, found: Mapping[Name, Effects | str]) -> None:
        """The keys of hashed fields, as they are now; one that is missing is found out by the delivery."""
        wanted = {
            (tenant, name)
            for (tenant, _), effects in found.items()
            if not isinstance(effects, str)
            for name in effects.key_names
        }
        for tenant, name in sorted(wanted):
            keys = self._keys.setdefault(tenant, {})
            secret = None if self._keyring is None else await _opened(connection, self._keyring, tenant, name)
            if secret is None:
                keys.pop(name, None)
            else:
                keys[name] = secret

    def keys_of(self, tenant: str) -> Mapping[str, Secret]:
        """The keys that the tenant's hashed fields need, of those last asked for."""
        return self._keys.get(tenant, {})

    def destinations_of(self, name: Name) -> list[Destination]:
        """The tables that the endpoint's deliveries go to, as they were last asked for."""
        known = self._known.get(name)
        return [] if known is None or isinstance(known.effects, str) else known.effects.destinations


async def _opened(connection: Any, keyring: Keyring, tenant: str, name: str) -> Secret | None:
    try:
        return (await config.get_secrets(connection, keyring, [(tenant, name)])).get((tenant, name))
    except SecretError as error:
        logger.error("the key of a hashed field does not open: %s", error)
        return None


def _compiled(name: Name, definition: Mapping[str, object]) -> Effects | str:
    try:
        return compile_effects(Endpoint.model_validate(definition))
    except (ConfigError, ValidationError) as error:
        logger.error("the deliveries of endpoint %s/%s are dead: %s", *name, error)
        return f"endpoint: {error}"[:1000]
