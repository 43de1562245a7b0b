"""The messages on the bus. Bodies are JSON; `webhook.received` carries the raw body and says the rest in headers.

JSON Schemas with examples stand in `schemas/messages/`; they are generated from here and committed.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import AfterValidator

from headwater.contracts.base import Closed


def _names_a_place(token: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(token.get("place"), dict):
        raise ValueError("a token names its `place`, an object")  # noqa: TRY004 - pydantic expects it
    return token


Token = Annotated[dict[str, Any], AfterValidator(_names_a_place)]


class RunDue(Closed):
    """A run was admitted: begin it."""

    type: ClassVar[str] = "run.due"
    run_id: UUID
    attempt: int
    tenant: str
    stream_version: UUID


class PageDue(Closed):
    """One page is to be fetched. `token` says where it is to be had (plain JSON, made by the paginator).

    A token also tells how far the walk is, for the limits; what it is compared by is its place alone.
    `not_before` is there where the stream waits between its pages.
    """

    type: ClassVar[str] = "page.due"
    run_id: UUID
    attempt: int
    tenant: str
    stream_version: UUID
    walk: int = 0
    number: int
    token: Token
    not_before: datetime | None = None


class RejectedRecord(Closed):
    """A record that was not taken: its place on the page (from 0) and why."""

    position: int
    reason: str


class BatchReady(Closed):
    """The records of one page on their way to one table.

    `next_token` is the token of the page that follows, None at the end; then `stop_reason` says why.
    `records` are the selected records; with `payload_id` they stand in table `payload` instead (JSON list).
    `started_at` is when the run's attempt began: by it, newer records replace older ones. `highest` is the
    highest cursor value among them, where the stream has a cursor; where they ascend and a limit ends the walk,
    `below` is the highest one below it. `content_digest` is there where equal pages of one walk are a loop.
    `resume_token` is where the next run goes on after a limit. `sample` is the beginning of the answer, secrets
    starred out, where the stream has no destination.
    """

    type: ClassVar[str] = "batch.ready"
    run_id: UUID
    attempt: int
    tenant: str
    stream_version: UUID
    walk: int = 0
    number: int
    token: Token
    next_token: Token | None = None
    stop_reason: str | None = None
    warnings: tuple[str, ...] = ()
    requests: int = 1
    rejected: tuple[RejectedRecord, ...] = ()
    received: int = 0
    status: int = 200
    body_bytes: int = 0
    fetched_at: datetime
    started_at: datetime
    highest: Any = None
    below: Any = None
    content_digest: str | None = None
    resume_token: dict[str, Any] | None = None
    sample: str | None = None
    records: list[Any] | None = None
    payload_id: UUID | None = None


class RunClose(Closed):
    """Every page of a run is settled: close it."""

    type: ClassVar[str] = "run.close"
    run_id: UUID
    attempt: int
    tenant: str


class RunError(Closed):
    """Why a run failed. `class` on the wire."""

    kind: str
    message: str


class RunFinished(Closed):
    """A run reached a final state."""

    type: ClassVar[str] = "run.finished"
    run_id: UUID
    tenant: str
    stream: str
    schedule: str | None = None
    due_at: datetime
    attempt: int
    trigger: str
    mode: str
    state: Literal["succeeded", "partial", "failed", "cancelled", "skipped"]
    stop_reason: str | None = None
    warnings: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    error: RunError | None = None
    started_at: datetime | None = None
    finished_at: datetime


class RunRequest(Closed):
    """Start a run: the body of `POST runs` and of the AMQP message `run.request`."""

    type: ClassVar[str] = "run.request"
    stream: str
    mode: Literal["auto", "incremental", "full", "dry_run"] = "auto"
    force: bool = False
    parameters: dict[str, Any] = {}
    window: dict[str, Any] | None = None


MESSAGES: tuple[type[Closed], ...] = (RunDue, PageDue, BatchReady, RunClose, RunFinished, RunRequest)
