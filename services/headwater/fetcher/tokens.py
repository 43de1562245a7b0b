"""Access tokens: asked for by one worker at a time, stored before they are used, renewed ahead of their end.

A refresh runs as a task of its own: no handler's end cuts it, so that a rotated refresh token is not lost between
the API's answer and the row that keeps it. It holds no transaction and no connection while the API answers.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

from headwater.contracts.codec import dumps, loads
from headwater.fetcher.definitions import Known
from headwater.http.client import HttpClient
from headwater.model.clock import Clock
from headwater.model.errors import Later, Unavailable
from headwater.model.secret import Secret
from headwater.plugins.auth import HeldToken, TokenAuthenticator
from headwater.plugins.secret_text import Secrets, fill, names_in
from headwater.store import tokens
from headwater.store.database import Database
from headwater.store.keyring import Keyring

logger = logging.getLogger("headwater.fetcher")
LEASE_S = 60.0  # > the longest request for a token and its storing
REQUEST_S = 30.0
PATIENCE_S = 1.0  # how long a page waits in process for a token; then its worker does something else
_POLL_S = 0.1
_GRACE_S = 30.0  # for refreshes under way when the service ends
_MAX_KEPT = 1000
Name = tuple[str, str]  # tenant, name


@dataclass(frozen=True, slots=True)
class Held:
    """A token as it was stored. `made_of` tells which credentials it was asked for with."""

    token: HeldToken
    version: int
    made_of: str


@dataclass(frozen=True, slots=True)
class _Source:
    """Whose token it is, and how the next one is asked for."""

    name: Name
    auth: TokenAuthenticator
    secrets: Secrets
    allow: tuple[str, ...]
    timeout_s: float
    made_of: str  # hash of the credentials as they are now
    first_refresh: str  # hash of the refresh token that the definition names


class Tokens:
    """The tokens of all sources, in one process. Leaving the context waits for refreshes under way."""

    def __init__(
        self,
        database: Database,
        http: HttpClient,
        keyring: Keyring,
        clock: Clock,
        *,
        lease_s: float = LEASE_S,
    ) -> None:
        self._database = database
        self._http = http
        self._keyring = keyring
        self._clock = clock
        self._lease_s = lease_s
        self._known: OrderedDict[Name, Held] = OrderedDict()
        self._refreshes: dict[Name, asyncio.Task[Held]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = list(self._refreshes.values())
        if running:
            await asyncio.wait(running, timeout=_GRACE_S)
        for task in running:
            task.cancel()

    async def held(self, known: Known, secrets: Secrets) -> Held | None:
        """The token to show now; None where none is shown.

        One that ends soon is renewed in the background and shown until then.
        Raises: Later when it takes long to get one, SourceError, SecretError, Unavailable.
        """
        source = _source_of(known, secrets)
        if source is None:
            return None
        held = self._known.get(source.name)
        if held is None or held.made_of != source.made_of or held.token.is_due(self._clock.now()):
            held = await self._stored(source)
        if held is not None and not held.token.is_due(self._clock.now()):
            return held
        task = self._refresh(source, held)
        if held is not None and not _is_over(held.token, self._clock.now()):
            return held
        await asyncio.wait({task}, timeout=PATIENCE_S)
        if not task.done():
            raise Later(1.0, f"a token for {known.definition.source} is on its way")
        return task.result()

    async def renewed(self, known: Known, secrets: Secrets, refused: Held) -> Held:
        """The token after `refused`, which the API did not take: another's, or a new one."""
        source = _source_of(known, secrets)
        assert source is not None, "only a token that was shown is refused"
        held = await self._stored(source)
        if held is not None and held.version > refused.version:
            return held
        return await asyncio.shield(self._refresh(source, held or refused))

    async def _stored(self, source: _Source) -> Held | None:
        """What the row holds, if it was made of the credentials as they are now."""
        async with self._database.connection() as connection:
            stored = await tokens.get(connection, self._keyring, *source.name)
        return self._remember(source.name, _opened(stored, source))

    def _remember(self, name: Name, held: Held | None) -> Held | None:
        if held is None:
            self._known.pop(name, None)
            return None
        self._known[name] = held
        self._known.move_to_end(name)
        if len(self._known) > _MAX_KEPT:
            self._known.popitem(last=False)
        return held

    def _refresh(self, source: _Source, before: Held | None) -> asyncio.Task[Held]:
        """The one refresh of this source in this process."""
        task = self._refreshes.get(source.name)
        if task is None:
            work = self._renew(source, -1 if before is None else before.version)
            task = asyncio.create_task(work, name="token")
            self._refreshes[source.name] = task
            task.add_done_callback(lambda done: self._refreshed(source.name, done))
        return task

    def _refreshed(self, name: Name, task: asyncio.Task[Held]) -> None:
        self._refreshes.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("no token for %s of tenant %s: %s", name[1], name[0], error)

    async def _renew(self, source: _Source, seen: int) -> Held:
        """A token that is newer than version `seen`: another worker's, or one that is asked for here."""
        holder = uuid4()
        while True:
            async with self._database.connection() as connection:
                stored = await tokens.get(connection, self._keyring, *source.name)
                held = _opened(stored, source)
                if held is not None and held.version > seen and not _is_over(held.token, self._clock.now()):
                    self._remember(source.name, held)
                    return held
                is_ours = await tokens.lease(connection, *source.name, stored.version, holder, self._lease_s)
            if is_ours:
                return await self._ask(source, stored, holder)
            await asyncio.sleep(_POLL_S)

    async def _ask(self, source: _Source, stored: tokens.Stored, holder: UUID) -> Held:
        before = _before(stored, source)
        try:
            now = self._clock.now()
            request = source.auth.token_request(source.secrets, before, now)
            response = await self._http.send(request, allow=source.allow, timeout_s=source.timeout_s)
            token = source.auth.token_of(response, before, now)
        except Exception:
            async with self._database.connection() as connection:
                await tokens.release(connection, *source.name, holder)
            raise
        version = await self._keep(source, stored.version, token)
        if version is None:  # the lease had run out, and another was quicker
            return await self._renew(source, stored.version)
        held = Held(token, version, source.made_of)
        self._remember(source.name, held)
        return held

    async def _keep(self, source: _Source, version: int, token: HeldToken) -> int | None:
        """Store the token, however long that takes: the one before may be worth nothing any more."""
        text = Secret(dumps(_to_wire(token, source)))
        pause_s = 0.1
        while True:
            try:
                async with self._database.connection() as connection:
                    return await tokens.store(
                        connection,
                        self._keyring,
                        *source.name,
                        version,
                        text,
                        has_refresh=token.refresh is not None,
                    )
            except Unavailable as error:
                logger.error("a new token for %s is not stored yet: %s", source.name[1], error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, 2.0)


def _source_of(known: Known, secrets: Secrets) -> _Source | None:
    auth = known.walk.tokens
    if auth is None:
        return None
    definition = known.definition
    config = definition.auth.model_dump(mode="json", by_alias=True)
    who = {
        name: config.get(name) for name in ("type", "grant", "token_url", "login_url", "client_id", "issuer")
    }
    refresh = str(config.get("refresh_token") or "")
    named = names_in(dumps(config).decode())
    return _Source(
        name=(definition.tenant, f"{definition.source}/{_hash(dumps(who))}"),
        auth=auth,
        secrets=secrets,
        allow=definition.network.allow,
        timeout_s=min(definition.timeout_s, REQUEST_S),
        made_of=_hash(dumps(config), *(secrets[name].reveal() for name in named if name in secrets)),
        first_refresh=_hash(fill(refresh, secrets).reveal()) if refresh else "",
    )


def _hash(*parts: bytes) -> str:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()[:32]


def _is_over(token: HeldToken, now: datetime) -> bool:
    return token.expires_at is not None and now >= token.expires_at


def _to_wire(token: HeldToken, source: _Source) -> dict[str, Any]:
    return {
        "access": token.access.text(),
        "refresh": None if token.refresh is None else token.refresh.text(),
        "obtained_at": token.obtained_at.isoformat(),
        "expires_at": None if token.expires_at is None else token.expires_at.isoformat(),
        "made_of": source.made_of,
        "first_refresh": source.first_refresh,
    }


def _read(stored: tokens.Stored) -> Mapping[str, Any] | None:
    return None if stored.text is None else loads(stored.text.reveal())


def _token(wire: Mapping[str, Any]) -> HeldToken:
    expires, refresh = wire["expires_at"], wire["refresh"]
    return HeldToken(
        Secret.of(wire["access"]),
        datetime.fromisoformat(wire["obtained_at"]),
        None if expires is None else datetime.fromisoformat(expires),
        None if refresh is None else Secret.of(refresh),
    )


def _opened(stored: tokens.Stored, source: _Source) -> Held | None:
    """The stored token, if it was asked for with the credentials as they are now."""
    wire = _read(stored)
    if wire is None or wire["made_of"] != source.made_of:
        return None
    return Held(_token(wire), stored.version, source.made_of)


def _before(stored: tokens.Stored, source: _Source) -> HeldToken | None:
    """The token before, for its refresh token; not when the definition names another one to begin with."""
    wire = _read(stored)
    return None if wire is None or wire["first_refresh"] != source.first_refresh else _token(wire)
