"""Dead letters: messages that were given up, to look at, replay or discard."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from headwater.control.paging import ListQuery, after_moment, listing, token_of
from headwater.control.problems import conflict, not_found
from headwater.control.replaying import CannotReplayError, replay
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.starting import Starter
from headwater.store import catalogue, dead_letters

State = Literal["open", "replayed", "discarded"]


class DeadLettersQuery(ListQuery):
    """Dead letters, newest first. A global key also sees those that belong to no tenant."""

    queue: Annotated[str | None, Field(max_length=255)] = None
    state: State | None = None


class DeadLetter(Answer):
    """One message that was given up, and why."""

    id: UUID
    tenant: str | None
    queue: str
    type: str
    message_id: str
    reason: str
    attempt: int
    body_bytes: int
    state: State
    dead_at: datetime


class DeadLetterDetail(DeadLetter):
    """With the message itself. `body_text` is there when the body is UTF-8."""

    headers: dict[str, str]
    body_base64: str
    body_text: str | None


class Replayed(DeadLetter):
    """`run_id` names the run that was started, where the message belonged to one."""

    run_id: UUID | None


def letter_view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in DeadLetter.model_fields}


def _detail_view(row: Mapping[str, Any]) -> dict[str, Any]:
    body = bytes(row["body"])
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    return {
        **letter_view(row),
        "headers": row["headers"],
        "body_base64": base64.b64encode(body).decode(),
        "body_text": text,
    }


async def list_dead_letters(desk: Desk, call: Call[DeadLettersQuery, None]) -> Reply:
    query = call.query
    async with desk.acting(call, admin=True) as connection:
        rows = await catalogue.list_dead_letters(
            connection,
            call.tenant,
            with_nobodys=call.caller.is_global,
            queue=query.queue,
            state=query.state,
            after=after_moment(query, "dead_letters"),
            limit=query.limit + 1,
        )
    return Reply(
        listing(
            rows, query.limit, letter_view, lambda row: token_of("dead_letters", row["dead_at"], row["id"])
        )
    )


async def _found(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    row = await catalogue.get_dead_letter(
        connection, call.id("letter"), call.tenant, with_nobodys=call.caller.is_global
    )
    if row is None:
        raise not_found("dead letter")
    return row


async def show_dead_letter(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call, admin=True) as connection:
        return Reply(_detail_view(await _found(connection, call)))


async def replay_dead_letter(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    starter = Starter(call.trigger, call.started_by, f"replay-{call.id('letter')}")
    async with desk.acting(call, admin=True) as connection:
        letter = await _found(connection, call)
        await _take(connection, letter, "replayed")
        try:
            run_id = await replay(connection, letter, starter)
        except CannotReplayError as error:
            raise conflict(f"It cannot be replayed: {error}") from error
    desk.bell.ring()
    return Reply({**letter_view(letter), "state": "replayed", "run_id": run_id})


async def discard_dead_letter(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call, admin=True) as connection:
        letter = await _found(connection, call)
        await _take(connection, letter, "discarded")
    return Reply({**letter_view(letter), "state": "discarded"})


async def _take(connection: Any, letter: Mapping[str, Any], state: State) -> None:
    if await dead_letters.set_state(connection, letter["id"], state) is None:
        raise conflict("It was replayed or discarded already")
