"""The first tenant's login at a private broker, so that other programs can start runs and hear of results."""

import os
import secrets
from pathlib import Path

from headwater.control.broker_users import ensure_broker_user, user_of
from headwater.model.secret import Secret


async def ensure_login(management_url: Secret, tenant: str, folder: Path) -> tuple[str, Path]:
    """Make the tenant's broker user; gives its name and the file (0600) that holds its password.

    Raises: Unavailable, ConfigError.
    """
    file = folder / f"{tenant}.password"
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        password = file.read_text(encoding="ascii").strip()
    else:
        password = secrets.token_urlsafe(24)
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(password + "\n")
    await ensure_broker_user(management_url, tenant, Secret.of(password))
    return user_of(tenant), file
