"""Stream versions ready to walk. A version never changes, so what was compiled once stays right."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.contracts.source import StreamDefinition
from headwater.model.errors import Reject
from headwater.plugins.secret_text import Secrets, names_in
from headwater.plugins.walk.family import Family, level_of
from headwater.plugins.walk.walk import Walk
from headwater.store import config
from headwater.store.database import Database
from headwater.store.keyring import Keyring

MAX_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """A version with its walk, and the names of the secrets it refers to; `above`: its parents, topmost first.

    `parameters`: those of the run that its requests name, as `parameters.name`.
    """

    definition: StreamDefinition
    walk: Walk
    secret_names: tuple[str, ...]
    above: tuple["Known", ...] = ()
    parameters: tuple[str, ...] = ()

    @property
    def top(self) -> "Known":
        """What a run begins with."""
        return self.above[0] if self.above else self

    def at(self, token: Mapping[str, Any]) -> "Known":
        """What the walk of `token` goes by."""
        level = level_of(token)
        return self.above[level] if level < len(self.above) else self


class Definitions:
    """The least recently used version goes first."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._known: OrderedDict[UUID, Known] = OrderedDict()

    async def get(self, version: UUID) -> Known:
        """The version. Raises: Reject when it does not exist, ConfigError when it cannot be walked."""
        known = self._known.get(version)
        if known is None:
            known = await self._load(version)
            self._known[version] = known
            if len(self._known) > MAX_KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(version)
        return known

    async def _load(self, version: UUID) -> Known:
        async with self._database.connection() as connection:
            stored = await config.get_version(connection, version)
        if stored is None:
            raise Reject(f"stream version {version} does not exist")
        definition = StreamDefinition.model_validate(stored)
        family, names = Family(definition), names_in(dumps(stored).decode())
        above = [
            Known(its_own, walk, names)
            for its_own, walk in zip(family.definitions[:-1], family.walks[:-1], strict=True)
        ]
        return Known(definition, family.walks[-1], names, tuple(above), family.parameters)

    async def secrets(self, known: Known) -> Secrets:
        """The secrets of the version as they are now. Raises: SecretError."""
        if not known.secret_names:
            return {}
        tenant = known.definition.tenant
        async with self._database.connection() as connection:
            found = await config.get_secrets(
                connection, self._keyring, [(tenant, name) for name in known.secret_names]
            )
        return {name: secret for (_, name), secret in found.items()}
