"""The broker users of tenants, made through RabbitMQ's management API.

A tenant's user may hand in to `headwater.in`, subscribe to its own part of `headwater.events`, and have queues of
its own; it sees no queue of headwater's. Source: RabbitMQ access control (configure, write, read; topic permissions).
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import aiohttp
from yarl import URL

from headwater.model.errors import ConfigError, Unavailable
from headwater.model.secret import Secret

TIMEOUT_S = 10.0
USER_PREFIX = "headwater."
_VHOST = "/"
_Asked = tuple[str, str, Mapping[str, str] | None]  # method, path, document


def user_of(tenant: str) -> str:
    """The name of the tenant's broker user."""
    return USER_PREFIX + tenant


def tenant_of(user: str | None) -> str | None:
    """The tenant whose user this is; None for anybody else's."""
    return user.removeprefix(USER_PREFIX) if user is not None and user.startswith(USER_PREFIX) else None


def permissions(tenant: str) -> Mapping[str, str]:
    """What the user may do: queues of its own (`tenant.<tenant>.…`, or named by the broker) and the two doors.

    Own names do not begin with `headwater.`: a tenant called `run` would own `headwater.run.due`.
    """
    own = rf"tenant\.{re.escape(tenant)}\..*|amq\.gen.*"
    return {
        "configure": f"^({own})$",
        "write": rf"^(headwater\.in|{own})$",  # binding a queue writes to it
        "read": rf"^(headwater\.events|{own})$",  # binding to an exchange reads it
    }


def topic_permissions(tenant: str) -> list[Mapping[str, str]]:
    """Which routing keys: what can be handed in, and the tenant's own events."""
    return [
        {"exchange": "headwater.in", "write": r"^(run\.request|event\.[A-Za-z0-9_-]+)$", "read": "^$"},
        {"exchange": "headwater.events", "write": "^$", "read": rf"^{re.escape(tenant)}\..*"},
    ]


async def remove_broker_user(management_url: Secret, tenant: str) -> None:
    """Remove the tenant's user, if there is one; what is connected as it is cut. `management_url` and faults are as in
    `ensure_broker_user`.
    """
    user = quote(user_of(tenant), safe="")
    await _ask(management_url, [("DELETE", f"users/{user}", None)])


async def ensure_broker_user(management_url: Secret, tenant: str, password: Secret) -> None:
    """Make the tenant's user with its permissions, or give it this password.

    `management_url` is `http://user:password@host:15672`, optionally with a path to the API's host.
    Raises: Unavailable when the API cannot be reached, ConfigError when it refuses.
    """
    user, vhost = quote(user_of(tenant), safe=""), quote(_VHOST, safe="")
    calls: list[_Asked] = [
        ("PUT", f"users/{user}", {"password": password.text(), "tags": ""}),
        ("PUT", f"permissions/{vhost}/{user}", permissions(tenant)),
        *(("PUT", f"topic-permissions/{vhost}/{user}", each) for each in topic_permissions(tenant)),
    ]
    await _ask(management_url, calls)


async def _ask(management_url: Secret, calls: Sequence[_Asked]) -> None:
    url = URL(management_url.text())
    word = b64encode(f"{url.user or 'guest'}:{url.password or 'guest'}".encode()).decode()
    base = f"{url.with_user(None)}".rstrip("/")
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Basic {word}"}, timeout=timeout
        ) as session:
            for method, path, document in calls:
                await _call(session, method, URL(f"{base}/api/{path}", encoded=True), document)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"RabbitMQ's management API is not at hand: {type(error).__name__}") from error


async def _call(
    session: aiohttp.ClientSession, method: str, url: URL, document: Mapping[str, str] | None
) -> None:
    async with session.request(method, url, json=document, allow_redirects=False) as response:
        if method == "DELETE" and response.status == 404:
            return  # there is none
        if response.status >= 500:
            raise Unavailable(f"RabbitMQ's management API answers {response.status}")
        if response.status >= 300:
            raise ConfigError(
                f"RabbitMQ's management API refuses ({response.status}): check the user in "
                "HEADWATER_RABBITMQ_MANAGEMENT_URL; it needs the tag administrator"
            )
