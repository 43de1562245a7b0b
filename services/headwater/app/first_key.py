"""The first API key: chosen by the operator in HEADWATER_ADMIN_KEY, or made at the first start and shown once."""

import re
import secrets

from headwater.model.errors import ConfigError
from headwater.model.names import DEFAULT_TENANT
from headwater.model.secret import Secret
from headwater.store import config
from headwater.store.database import Database

KEY_FORM = re.compile(r"^hw_([a-z0-9]{1,32})_([A-Za-z0-9_-]{32,256})$")
SCOPES = ("read", "run", "write", "admin")


async def ensure_first_key(api: Database, chosen: Secret | None) -> Secret | None:
    """Make sure that somebody can get in; gives a key that was made now, None when there was one already.

    Raises: ConfigError when the chosen key has not the form of a key.
    """
    async with api.as_tenant(DEFAULT_TENANT, admin=True) as connection:
        await config.ensure_tenant(connection, DEFAULT_TENANT)
        if chosen is not None:
            form = KEY_FORM.match(chosen.text())
            if form is None:
                raise ConfigError(
                    "HEADWATER_ADMIN_KEY must look like hw_<id>_<secret>: an id of 1–32 characters a-z and 0-9, "
                    "a secret of 32 or more letters, digits, - and _"
                )
            await config.put_admin_key(connection, form[1], chosen, "HEADWATER_ADMIN_KEY", SCOPES)
            return None
        if await config.count_keys(connection):
            return None
        key = Secret.of(f"hw_admin_{secrets.token_urlsafe(32)}")
        made = await config.insert_key(connection, "admin", key, tenant=None, name="first key", scopes=SCOPES)
        return key if made else None
