"""What a route is: one row of the table from which both the server and its OpenAPI document are made."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from headwater.bus.port import Bus
from headwater.contracts.base import Closed
from headwater.model.clock import Clock
from headwater.model.run import Trigger
from headwater.model.secret import Secret
from headwater.plugins.notifiers.base import PLAIN_OFFICE, Office
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.store.retention import KEEP, Keep
from headwater.telemetry.metrics import Metrics

Scope = Literal["read", "run", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "run", "write", "admin")
Query = TypeVar("Query")
Body = TypeVar("Body")


class Answer(BaseModel):
    """A document that the API gives. Closed, so that a column never slips out by chance."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class NoQuery(Closed):
    """No parameters."""


class ManifestText:
    """Stands as a route's body: the text of a manifest, YAML or JSON."""


class Bytes:
    """Stands as a route's answer: raw bytes."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `tenant` is None for a key that may act in every tenant; `name` says who it is without a key."""

    key_id: str
    tenant: str | None
    scopes: frozenset[str]
    name: str | None = None

    @property
    def is_global(self) -> bool:
        return self.tenant is None

    @property
    def actor(self) -> str:
        """How what it makes says by whom it was made."""
        return self.name or f"key {self.key_id}"

    def may(self, scope: Scope) -> bool:
        """Each scope stands for itself; `admin` includes the others."""
        return scope in self.scopes or "admin" in self.scopes


NOBODY = Caller("", "", frozenset())


@dataclass(frozen=True, slots=True)
class Call(Generic[Query, Body]):
    """One request, read and checked. `tenant` is the one it acts in; `names_tenant` tells that X-Tenant was given.

    `key` is the Idempotency-Key, `digest` the SHA-256 of what the body says. `headers` are the request's. `trigger` is
    what the runs that it starts were started by.
    """

    caller: Caller
    tenant: str
    path: Mapping[str, str]
    query: Query
    body: Body
    headers: Mapping[str, str]
    key: str | None = None
    digest: bytes = b""
    names_tenant: bool = False
    trigger: Trigger = Trigger.API

    def id(self, name: str) -> UUID:
        """The path parameter `name`, which the frame knows to be an id."""
        return UUID(self.path[name])

    @property
    def started_by(self) -> str:
        return self.caller.actor


@dataclass(frozen=True, slots=True)
class Listing:
    """Some of many: `next` is the token of what follows, None at the end."""

    items: Sequence[Any]
    next: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers. `value` is checked against the route's answer; `raw` goes out as it is."""

    value: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Desk:
    """What handlers work with. `database` acts as role `api`; `worker` only counts for the front page.

    `has_broker`: whether the bus is a RabbitMQ (None: not known).
    """

    database: Database
    worker: Database
    bus: Bus
    keyring: Keyring
    bell: Bell
    clock: Clock
    metrics: Metrics
    management_url: Secret | None = None
    has_broker: bool | None = None
    office: Office = PLAIN_OFFICE
    keep: Keep = KEEP
    ending: asyncio.Event = field(default_factory=asyncio.Event)  # who waits for something ends then
    parsing: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(2)
    )  # large texts take a core

    @asynccontextmanager
    async def acting(self, call: Call[Any, Any], *, admin: bool = False) -> AsyncIterator[Any]:
        """A transaction that sees the call's tenant; with `admin` and a global key also keys, tenants and dead
        letters of all.
        """
        admin = admin and call.caller.is_global
        async with self.database.as_tenant(call.tenant, admin=admin, actor=call.started_by) as connection:
            yield connection


Handler = Callable[[Desk, Any], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `scope` None: no key needed. `answer` None: no body. `keyed`: takes an Idempotency-Key.

    `problems` are statuses that this route may answer besides those of every route.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    summary: str
    scope: Scope | None
    answer: type[BaseModel] | type[Bytes] | None
    query: type[Closed] = NoQuery
    body: type[BaseModel] | type[ManifestText] | None = None
    status: int = 200
    also: int | None = (
        None  # the other status of its document: 201 where a PUT makes it, 200 where a POST makes none
    )
    tag: str = ""
    keyed: bool = False
    matched: bool = False  # takes If-Match, answers ETag
    later: bool = False  # may also answer 202 with its document, where `status` has none: it is not done yet
    causes: bool = False  # faults of the body are told with field, position, cause and mend
    problems: tuple[int, ...] = ()
