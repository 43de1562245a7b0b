"""What every way of telling takes and gives."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from headwater.model.clock import Clock
from headwater.model.http import HttpRequest, Response
from headwater.model.secret import Secret


class Outcome(StrEnum):
    SENT = "sent"
    FAILED = "failed"
    GONE = "gone"  # the target says that it is no more


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be told. `id` is the same in every attempt; `at` is when it was first to be told.

    `facts` is the document that programs read; `subject` and `text` are for people. `notification` is its rule's name,
    or who it is sent for.
    """

    id: str
    at: datetime
    tenant: str
    event: str
    notification: str
    subject: str
    text: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one attempt. `error` and `answer` hold no secrets; `wait_s` is what the target asks for.

    `is_final`: another attempt fails like this one, until somebody changes the configuration.
    """

    outcome: Outcome
    status: int | None = None
    error: str | None = None
    answer: str | None = None
    wait_s: float | None = None
    is_final: bool = False


class Sender(Protocol):
    """The safe HTTP client, without redirects."""

    async def send(
        self,
        request: HttpRequest,
        *,
        allow: Sequence[str] = (),
        timeout_s: float = 30.0,
        max_body_bytes: int | None = None,
    ) -> Response: ...


@dataclass(frozen=True, slots=True)
class Office:
    """What the operator says once for all: the mail server and sender, where people look, and private ranges that
    schedules' callbacks may reach.
    """

    public_url: str = "http://127.0.0.1:8080"
    mail_url: Secret | None = None
    mail_from: str | None = None
    reach: tuple[str, ...] = ()


PLAIN_OFFICE = Office()

# A connected socket to (host, port), within seconds; to nothing private but the given ranges (None: anywhere), else it
# raises ConfigError.
Connect = Callable[[str, int, Sequence[str] | None, float], Awaitable[Any]]
# Owes an event: topic, message id, body, tenant.
Owe = Callable[[str, str, bytes, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Means:
    """What the ways work with. `owe(topic, id, body, tenant)` leaves an event to the relay."""

    http: Sender
    clock: Clock
    connect: Connect
    owe: Owe
    office: Office = PLAIN_OFFICE
    secrets: Mapping[str, Secret] = field(default_factory=dict)
