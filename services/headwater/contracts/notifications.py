"""Who is told of what, and how: the manifest's list `notifications`.

Addresses of chat webhooks and of mail servers hold secrets: they are stored encrypted, as signing secrets are.
"""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.naming import HeaderName, Name, SecretText

Event = Literal[
    "succeeded", "partial", "failed", "cancelled", "skipped", "recovered", "late",
    "auto_disabled", "expired", "error",
    "silence", "silence_over", "refusals", "refusals_over",
    "dead_letter",
]  # fmt: skip
EVENTS: tuple[str, ...] = get_args(Event)
USUAL_EVENTS: tuple[Event, ...] = (
    "failed", "recovered", "late", "auto_disabled", "expired", "error", "silence", "refusals", "dead_letter",
)  # fmt: skip
RESERVED = frozenset({"deliveries"})  # an address of the API
_WEB = re.compile(r"^https?://[^/\s?#]+")
_SECRET = re.compile(r"\$\{secret:[^}\s]{1,200}\}")
_SMTP = re.compile(r"^smtps?://[^\s]+$")
_MAILBOX = re.compile(r"^[^\s@<>,;\"]{1,64}@[^\s@<>,;\"]{1,255}$")
_NAMED_MAILBOX = re.compile(r"^[^<>\r\n]{0,100}<([^<>]+)>$")


def _web_address(text: str) -> str:
    if not _WEB.match(text) and not _SECRET.search(text):
        raise ValueError("must be an absolute http:// or https:// address")
    return text


def _mail_server(text: str) -> str:
    if not _SMTP.match(text) and not _SECRET.search(text):
        raise ValueError("must be smtp://user:password@host:587 or smtps://user:password@host:465")
    return text


def _mailbox(text: str) -> str:
    named = _NAMED_MAILBOX.match(text)
    plain = named[1].strip() if named else text
    if not _MAILBOX.match(plain) or not text.isprintable():
        raise ValueError("must be an address such as ops@example.com or Operations <ops@example.com>")
    return text


WebAddress = Annotated[str, Field(max_length=2048), AfterValidator(_web_address)]
SecretWebAddress = Annotated[SecretText, Field(max_length=2048), AfterValidator(_web_address)]
MailServer = Annotated[SecretText, Field(max_length=2048), AfterValidator(_mail_server)]
Mailbox = Annotated[str, Field(max_length=400), AfterValidator(_mailbox)]
Seconds = Annotated[float, Field(gt=0, le=60)]
Pattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9*][a-z0-9_.*-]{0,127}$")]


class Reach(Closed):
    """Private address ranges the target may be in (CIDR); every other private address is refused."""

    allow: tuple[str, ...] = ()


class CallbackTarget(Closed):
    """A POST of JSON, signed as Standard Webhooks says: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

    `secret` is `whsec_` and base64; while it is being changed, `old_secret` signs as well.
    """

    type: Literal["callback"] = "callback"
    url: WebAddress
    secret: SecretText | None = None
    old_secret: SecretText | None = None
    headers: dict[HeaderName, str] = {}
    timeout_s: Seconds = 15.0
    network: Reach = Reach()


class EmailTarget(Closed):
    """A mail. `smtp` is the mail server (default: HEADWATER_SMTP_URL), `from` the sender (HEADWATER_SMTP_FROM)."""

    type: Literal["email"]
    to: tuple[Mailbox, ...] = Field(min_length=1, max_length=50)
    cc: tuple[Mailbox, ...] = Field(default=(), max_length=50)
    sender: Annotated[Mailbox | None, Field(alias="from")] = None
    smtp: MailServer | None = None
    timeout_s: Seconds = 30.0
    network: Reach = Reach()

    @field_validator("to", "cc", mode="before", json_schema_input_type=tuple[Mailbox, ...] | Mailbox)
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class SlackTarget(Closed):
    """An incoming webhook of Slack."""

    type: Literal["slack"]
    url: SecretWebAddress
    timeout_s: Seconds = 15.0
    network: Reach = Reach()


class TeamsTarget(Closed):
    """A webhook of a Teams workflow, which takes Adaptive Cards."""

    type: Literal["teams"]
    url: SecretWebAddress
    timeout_s: Seconds = 15.0
    network: Reach = Reach()


class AmqpTarget(Closed):
    """An event on exchange `headwater.events`: `<tenant>.notification.<name>.<event>`."""

    type: Literal["amqp"]


AnyTarget = CallbackTarget | EmailTarget | SlackTarget | TeamsTarget | AmqpTarget
Target = Annotated[AnyTarget, Field(discriminator="type")]


def _spelled_out(value: object) -> object:
    """A web address alone is a callback, `mailto:` an e-mail."""
    if isinstance(value, str) and value.startswith("mailto:"):
        return {"type": "email", "to": [value.removeprefix("mailto:")]}
    if isinstance(value, str):
        return {"type": "callback", "url": value}
    return value


class Notification(Closed):
    """Who is told of which events, and how.

    Filters are names, `*` stands for any part of one; all that are given must fit. Without any, everything of the
    tenant counts, unless schedules name this notification under `notify`: then it is theirs. `late_after_s` is how
    long after its due time a run is late (default: three times its longest of late, 15 minutes at least).
    `subject` and `text` are templates such as `{event}: {stream}`.
    """

    name: Name
    description: Annotated[str, Field(max_length=1000)] = ""
    enabled: bool = True
    events: tuple[Event, ...] = Field(default=USUAL_EVENTS, min_length=1)
    schedules: tuple[Pattern, ...] = Field(default=(), max_length=500)
    streams: tuple[Pattern, ...] = Field(default=(), max_length=500)
    sources: tuple[Pattern, ...] = Field(default=(), max_length=500)
    endpoints: tuple[Pattern, ...] = Field(default=(), max_length=500)
    target: Target | None = None
    targets: tuple[Target, ...] = Field(default=(), max_length=20)
    late_after_s: Annotated[int, Field(ge=1, le=31 * 86_400)] | None = None
    subject: Annotated[str, Field(max_length=500)] | None = None
    text: Annotated[str, Field(max_length=20_000)] | None = None

    @field_validator("target", mode="before", json_schema_input_type=Target | WebAddress | None)
    @classmethod
    def _target_spelled_out(cls, value: object) -> object:
        return _spelled_out(value)

    @field_validator("targets", mode="before", json_schema_input_type=tuple[Target | WebAddress, ...])
    @classmethod
    def _targets_spelled_out(cls, value: object) -> object:
        return [_spelled_out(each) for each in value] if isinstance(value, list | tuple) else value

    @field_validator("events", mode="before", json_schema_input_type=tuple[Event, ...] | Event)
    @classmethod
    def _one_event(cls, value: object) -> object:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            return value
        return [item.replace("-", "_") if isinstance(item, str) else item for item in items]

    @model_validator(mode="after")
    def _has_a_target(self) -> Self:
        if (self.target is None) == (not self.targets):
            raise ValueError("give `target` or the list `targets`, one of them")
        if self.name in RESERVED:
            raise ValueError(f"{self.name!r} is an address of the API: choose another name")
        return self

    @property
    def everyone(self) -> tuple[AnyTarget, ...]:
        """All targets, in order."""
        return self.targets if self.target is None else (self.target,)

    @property
    def has_filters(self) -> bool:
        return bool(self.schedules or self.streams or self.sources or self.endpoints)

    def with_targets(self, targets: tuple[Any, ...]) -> "Notification":
        """The same with these targets in their places."""
        return self.model_copy(update={"targets": targets} if self.target is None else {"target": targets[0]})
