"""Replay of dead letters: what was given up goes its way again, under the same identity where that is safe."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from headwater.bus.envelope import DEAD_AT_HEADER, QUEUE_HEADER, REASON_HEADER
from headwater.bus.port import Message
from headwater.contracts import webhook
from headwater.contracts.codec import loads
from headwater.contracts.messages import BatchReady, PageDue, RunClose, RunDue, RunFinished, RunRequest
from headwater.control import event_door
from headwater.control.paging import run_id
from headwater.control.starting import (
    KeyReusedError,
    NotFinalError,
    NotStartableError,
    Starter,
    UnknownStreamError,
    rerun,
    start_run,
)
from headwater.model.errors import ContractError, HeadwaterError, Reject
from headwater.store import deliveries, outbox, payloads, runs
from headwater.store.outbox import OutboxRow

OF_A_RUN = frozenset({RunDue.type, PageDue.type, BatchReady.type, RunClose.type})
_TOLD_BY_THE_BUS = frozenset({REASON_HEADER, QUEUE_HEADER, DEAD_AT_HEADER})


class CannotReplayError(HeadwaterError):
    """This dead letter cannot go its way again; the message says why."""


async def replay(connection: Any, letter: Mapping[str, Any], starter: Starter) -> UUID | None:
    """Hand the message of `letter` (its row) in again, in the caller's transaction.

    A webhook and `run.finished` go under their own ids; a run's message starts the run again, since a final state
    is final; gives the id of the run that was started. Raises: CannotReplayError.
    """
    kind = letter["type"]
    if letter["tenant"] is None:
        raise CannotReplayError("the message belongs to no tenant")
    try:
        if kind == webhook.TYPE:
            await _hand_in(connection, letter)
            return None
        if kind == RunFinished.type:
            await _republish(connection, letter, UUID(letter["message_id"]))
            return None
        if kind in OF_A_RUN:
            return await _rerun(connection, letter, starter)
        if kind == RunRequest.type:
            request = RunRequest.model_validate(loads(bytes(letter["body"])))
            return await start_run(connection, letter["tenant"], request, starter)
        if kind.startswith(event_door.PREFIX):
            message = Message(kind, letter["message_id"], bytes(letter["body"]), _plain_headers(letter))
            await event_door.hand_in(connection, letter["tenant"], message, datetime.now(UTC), is_replay=True)
            return None
    except Reject as error:
        raise CannotReplayError(f"it would be given up again: {str(error)[:500]}") from error
    except (
        ContractError,
        ValueError,
        UnknownStreamError,
        NotStartableError,
        NotFinalError,
        KeyReusedError,
    ) as error:
        raise CannotReplayError(f"it would be given up again: {str(error)[:500]}") from error
    raise CannotReplayError(f"messages of type {kind[:80]!r} are not replayed")


def _plain_headers(letter: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in letter["headers"].items() if name not in _TOLD_BY_THE_BUS}


async def _republish(connection: Any, letter: Mapping[str, Any], identifier: UUID) -> None:
    headers, body = _plain_headers(letter), bytes(letter["body"])
    await outbox.add(connection, OutboxRow(identifier, letter["tenant"], letter["type"], body, headers))


async def _hand_in(connection: Any, letter: Mapping[str, Any]) -> None:
    """Under the receipt's own id, so that the claim on its key lets it pass; a message that only names a delivery or an
    ordered key goes as it is.
    """
    headers = letter["headers"]
    if webhook.replay_in(headers) is not None or webhook.ordered_in(headers) is not None:
        await _republish(connection, letter, UUID(letter["message_id"]))
        return
    receipt = webhook.from_headers(letter["message_id"], letter["headers"], bytes(letter["body"]))
    body = await deliveries.take_back(connection, receipt)
    if body is not None and receipt.payload_id is not None:
        await payloads.put(connection, receipt.payload_id, receipt.tenant, bytes(body))
    await _republish(connection, letter, receipt.receipt_id)


async def _rerun(connection: Any, letter: Mapping[str, Any], starter: Starter) -> UUID:
    document = json.loads(bytes(letter["body"]))
    named = document.get("run_id") if isinstance(document, dict) else None
    run = None if named is None else await runs.get(connection, run_id(str(named)))
    if run is None:
        raise CannotReplayError("its run is not there any more")
    return await rerun(connection, run, starter)
