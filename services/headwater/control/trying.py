"""A test of a notification: really sent to each of its targets, and what came of it shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from headwater.contracts.codec import dumps
from headwater.contracts.notifications import Notification
from headwater.http.client import HttpClient, HttpLimits
from headwater.http.sockets import open_socket
from headwater.model.clock import Clock
from headwater.model.errors import SecretError
from headwater.plugins.notifiers.base import Letter, Means, Office, Outcome, Result
from headwater.plugins.notifiers.outlets import address_of, send
from headwater.plugins.notifiers.wording import of_test, words_for
from headwater.plugins.secret_text import names_in
from headwater.store import config, notifications
from headwater.store.database import Database
from headwater.store.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Tried:
    """One target, and what came of telling it."""

    type: str
    address: str
    ok: bool
    status: int | None
    error: str | None
    answer: str | None
    duration_s: float


async def try_out(
    api: Database, keyring: Keyring, office: Office, clock: Clock, tenant: str, rule: Notification
) -> list[Tried]:
    """Send a test to every target of `rule`, one after another. `api` acts as role `headwater_api`."""
    now, key = clock.now(), uuid4()  # each test is one of its own
    content = words_for(rule, of_test(tenant, rule.name, now, f"test/{key}", office.public_url))
    letter = Letter(
        str(key), now, tenant, "test", rule.name, content["subject"], content["text"], content["facts"]
    )

    async def owe(topic: str, identifier: str, body: bytes, of: str) -> None:
        async with api.as_tenant(of) as connection:
            await notifications.owe_event(connection, topic, UUID(identifier), of, body)

    tried = []
    async with HttpClient(clock, HttpLimits(redirects=0)) as client:
        for target in rule.everyone:
            definition = target.model_dump(mode="json", by_alias=True)
            began = clock.monotonic()
            try:
                secrets = await _secrets(api, keyring, tenant, definition)
                means = Means(client, clock, open_socket, owe, office, secrets)
                result = await send(target, letter, means)
            except SecretError as error:
                result = Result(Outcome.FAILED, error=f"secret: {error}")
            duration_s = round(clock.monotonic() - began, 4)
            is_sent = result.outcome is Outcome.SENT
            tried.append(
                Tried(
                    target.type,
                    address_of(target),
                    is_sent,
                    result.status,
                    result.error,
                    result.answer,
                    duration_s,
                )
            )
    return tried


async def _secrets(
    api: Database, keyring: Keyring, tenant: str, definition: Mapping[str, Any]
) -> dict[str, Any]:
    names = names_in(dumps(dict(definition)).decode())
    async with api.as_tenant(tenant) as connection:
        found = await config.get_secrets(connection, keyring, [(tenant, name) for name in names])
    return {name: secret for (_, name), secret in found.items()}
