"""Sessions of the web UI that were ended before their time; the others are known by their cookies alone."""

import hashlib
from datetime import datetime
from typing import Any

from headwater.store.queries import queries

_Q = queries("sessions")


async def end(connection: Any, key_id: str, token: str, at: datetime, until: datetime) -> None:
    """The session of this token is over, whoever has a copy of its cookie. `until`: when it would have been anyway."""
    await connection.execute(_Q["end_session"], key_id, _digest(token), at, until)


async def has_ended(connection: Any, key_id: str, token: str, began_at: datetime) -> bool:
    """Whether somebody ended the session of this token."""
    return bool(await connection.fetchval(_Q["session_has_ended"], key_id, _digest(token), began_at))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
