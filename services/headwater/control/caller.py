"""Who asks, and in which tenant. A key's form is checked before anything is looked up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from headwater.control.problems import forbidden, not_found, unauthorised
from headwater.control.route import Caller, Scope
from headwater.model.names import DEFAULT_TENANT
from headwater.model.secret import Secret
from headwater.store import config
from headwater.store.database import Database

KEY_FORM = re.compile(r"hw_([a-z0-9]{1,32})_[\x21-\x7e]{32,256}")
TENANT_FORM = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_MISSING = "A key is needed: send it as X-API-Key or as Authorization: Bearer"
_WRONG = "The key is not valid"


@dataclass(frozen=True, slots=True)
class Acting:
    caller: Caller
    tenant: str
    names_tenant: bool


def key_in(headers: Mapping[str, str]) -> str:
    """The key that a request shows. Raises: Refusal 401."""
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    shown = headers.get("X-API-Key", "").strip()
    if scheme.lower() == "bearer":
        other = bearer.strip()
        if shown and shown != other:
            raise unauthorised("X-API-Key and Authorization show different keys: send one")
        shown = other
    if not shown:
        raise unauthorised(_MISSING)
    return shown


async def authenticate(database: Database, headers: Mapping[str, str], scope: Scope) -> Acting:
    """Who asks, in which tenant. Raises: Refusal 401, 403, 404."""
    return await identify(database, key_in(headers), headers.get("X-Tenant"), scope)


async def identify(database: Database, shown: str, named: str | None, scope: Scope) -> Acting:
    """Whose key that is, acting in the tenant that is named, or its own. Raises: Refusal 401, 403, 404."""
    match = KEY_FORM.fullmatch(shown)
    if match is None:
        raise unauthorised(_WRONG)
    wanted = DEFAULT_TENANT if named is None else named.strip()
    if TENANT_FORM.fullmatch(wanted) is None:
        wanted = ""  # no tenant can have it
    async with database.as_tenant(wanted) as connection:
        known = await config.check_key(connection, match[1], Secret.of(shown))
        if known is None:
            raise unauthorised(_WRONG)
        caller = Caller(known.id, known.tenant, frozenset(known.scopes))
        if not caller.may(scope):
            raise forbidden(f"The key's scopes do not include `{scope}`")
        if caller.tenant is not None:
            if named is not None and wanted != caller.tenant:
                raise not_found("tenant for this key")
            return Acting(caller, caller.tenant, named is not None)
        if not await config.has_tenant(connection, wanted):
            raise not_found("tenant")
    return Acting(caller, wanted, named is not None)
