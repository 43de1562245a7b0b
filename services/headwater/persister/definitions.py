"""Stream versions, as the persister needs them. A version never changes."""

from collections import OrderedDict
from uuid import UUID

from headwater.contracts.source import StreamDefinition
from headwater.model.errors import Reject
from headwater.plugins.walk.family import Family
from headwater.store import config
from headwater.store.database import Database

MAX_KEPT = 1000


class Definitions:
    """The least recently used version goes first."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[UUID, StreamDefinition] = OrderedDict()
        self._families: OrderedDict[UUID, Family] = OrderedDict()

    async def get(self, version: UUID) -> StreamDefinition:
        """The version. Raises: Reject when it does not exist."""
        known = self._known.get(version)
        if known is None:
            async with self._database.connection() as connection:
                stored = await config.get_version(connection, version)
            if stored is None:
                raise Reject(f"stream version {version} does not exist")
            known = StreamDefinition.model_validate(stored)
            self._known[version] = known
            if len(self._known) > MAX_KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(version)
        return known

    async def family(self, version: UUID) -> Family:
        """The walks of the version. Raises: Reject when it does not exist, ConfigError when it cannot be walked."""
        family = self._families.get(version)
        if family is None:
            family = Family(await self.get(version))
            self._families[version] = family
            if len(self._families) > MAX_KEPT:
                self._families.popitem(last=False)
        self._families.move_to_end(version)
        return family
