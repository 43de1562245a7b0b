"""What each endpoint's deliveries do, compiled once per change of the endpoint."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from headwater.contracts.manifest import Destination, Endpoint
from headwater.model.errors import ConfigError
from headwater.plugins.webhooks import Effects, compile_effects
from headwater.store import endpoints
from headwater.store.database import Database

logger = logging.getLogger("headwater.persister")
MAX_KEPT = 5000
Name = tuple[str, str]  # tenant, endpoint


@dataclass(frozen=True, slots=True)
class _Known:
    updated_at: datetime
    effects: Effects | str


class EndpointEffects:
    """The least recently used goes first."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[Name, _Known] = OrderedDict()

    async def of(self, names: set[Name]) -> Mapping[Name, Effects | str]:
        """The effects by endpoint, as the endpoint is defined now; a text says why there are none.

        Endpoints that do not exist are missing. Raises: Unavailable.
        """
        asked = [
            (*name, self._known[name].updated_at if name in self._known else None) for name in sorted(names)
        ]
        async with self._database.connection() as connection:
            rows = await endpoints.changed(connection, asked)
        found: dict[Name, Effects | str] = {}
        for row in rows:
            name = (row["tenant"], row["name"])
            if row["definition"] is not None:
                self._known[name] = _Known(row["updated_at"], _compiled(name, row["definition"]))
            self._known.move_to_end(name)
            found[name] = self._known[name].effects
        while len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)
        return found

    def destinations_of(self, name: Name) -> list[Destination]:
        """The tables that the endpoint's deliveries go to, as they were last asked for."""
        known = self._known.get(name)
        return [] if known is None or isinstance(known.effects, str) else known.effects.destinations


def _compiled(name: Name, definition: Mapping[str, object]) -> Effects | str:
    try:
        return compile_effects(Endpoint.model_validate(definition))
    except (ConfigError, ValidationError) as error:
        logger.error("the deliveries of endpoint %s/%s are dead: %s", *name, error)
        return f"endpoint: {error}"[:1000]
