"""Destinations with a name as they are defined now, and their addresses, with secrets filled in when they are used."""

from collections.abc import Iterable

from headwater.contracts.destinations import NamedDestination
from headwater.model.errors import DestinationError, SecretError
from headwater.model.secret import Secret
from headwater.plugins.secret_text import fill, names_in
from headwater.store import config, destinations
from headwater.store.database import Database
from headwater.store.keyring import Keyring


async def named(
    database: Database, wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], NamedDestination]:
    """The destinations (tenant, name); those that are not there are missing."""
    pairs = set(wanted)
    if not pairs:
        return {}
    async with database.connection() as connection:
        found = await destinations.targets(connection, pairs)
    return {of: NamedDestination.model_validate(definition) for of, definition in found.items()}


async def address_of(database: Database, keyring: Keyring | None, tenant: str, text: str) -> Secret:
    """`text`, a destination's `url`, with the tenant's secrets in it.

    Raises: DestinationError naming the secret that is missing.
    """
    names = names_in(text)
    if not names:
        return Secret.of(text)
    if keyring is None:
        raise DestinationError("its url needs a secret, and this service has no key ring")
    try:
        async with database.connection() as connection:
            found = await config.get_secrets(connection, keyring, [(tenant, name) for name in names])
        return fill(text, {name: secret for (_, name), secret in found.items()})
    except SecretError as error:
        raise DestinationError(str(error)) from error
