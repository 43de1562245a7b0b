"""The broker's dead letters become rows, and in the same transaction what they belonged to learns of it.

A run's message fails its run; a webhook that can be read is kept as a dead delivery with reason and bytes.
Nothing comes after the dead letters, so whatever is wrong with one is kept as well as it can be.
"""

import dataclasses
import json
import logging
from collections.abc import Sequence
from typing import Any

from headwater.bus.envelope import DEAD_AT_HEADER, QUEUE_HEADER, REASON_HEADER
from headwater.bus.port import Message
from headwater.bus.topology import IN_QUEUE
from headwater.contracts import webhook
from headwater.control.broker_users import tenant_of
from headwater.control.caller import TENANT_FORM
from headwater.control.paging import run_id
from headwater.control.replaying import OF_A_RUN
from headwater.model.errors import ContractError, Unavailable
from headwater.model.ids import derive_key_id
from headwater.store import config, dead_letters, deliveries, payloads, replays, runs, tenants
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.dead_letters import DeadLetter
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.control")
KIND = "dead_letter"  # the class of the error of a run that ended so
_UNKNOWN_REASON = "the broker gave it up: it was handed out too often without an answer"


class Drain:
    """The handler of `headwater.dead`."""

    def __init__(self, database: Database, bell: Bell, metrics: Metrics) -> None:
        self._database = database
        self._bell = bell
        self._metrics = metrics

    async def handle(self, messages: Sequence[Message]) -> None:
        """Keep `messages`, in one transaction."""
        async with self._database.transaction() as connection:
            for message in messages:
                await self._keep(connection, message)
        for message in messages:
            self._metrics.dead.labels(message.headers.get(QUEUE_HEADER, "unknown")).inc()
        self._bell.ring()

    async def _keep(self, connection: Any, message: Message) -> None:
        letter = letter_of(message)
        if letter.tenant is not None and not await config.has_tenant(connection, letter.tenant):
            if await tenants.gone(connection, [letter.tenant]):
                return  # its tenant was removed with all below it
            letter = dataclasses.replace(letter, tenant=None)  # or nobody would ever see it
        try:
            async with connection.transaction():
                if await dead_letters.insert(connection, letter):
                    await _tell(connection, message, letter)
                elif DEAD_AT_HEADER not in message.headers:
                    await dead_letters.reopen(connection, letter)
        except Unavailable:
            raise
        except Exception:
            logger.exception("dead letter %s %s is kept without its headers", letter.type, letter.message_id)
            await dead_letters.insert(connection, dataclasses.replace(letter, headers={}))


def letter_of(message: Message) -> DeadLetter:
    """The row of a dead letter. Its id derives from the message and the moment it was given up."""
    headers = {storable(name): storable(value) for name, value in message.headers.items()}
    queue = headers.get(QUEUE_HEADER, "unknown")
    moment = headers.get(DEAD_AT_HEADER, "")
    return DeadLetter(
        id=derive_key_id("dead letter", queue, message.type, message.id, moment),
        tenant=_tenant(message, queue),
        queue=queue,
        type=storable(message.type),
        message_id=storable(message.id),
        reason=headers.get(REASON_HEADER, _UNKNOWN_REASON),
        attempt=message.attempt,
        headers=headers,
        body=message.body,
    )


def storable(text: str) -> str:
    """`text` as a row can hold it."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _tenant(message: Message, queue: str) -> str | None:
    """Whose message it is: by the verified user for what came from outside, else by our own header."""
    came_in = queue == IN_QUEUE or message.type == "run.request" or message.type.startswith("event.")
    tenant = tenant_of(message.user_id) if came_in else message.headers.get("tenant")
    return tenant if tenant is not None and TENANT_FORM.fullmatch(tenant) else None


async def _tell(connection: Any, message: Message, letter: DeadLetter) -> None:
    if letter.type == webhook.TYPE:
        await _dead_delivery(connection, message, letter)
    elif letter.type in OF_A_RUN:
        await _failed_run(connection, message, letter)


async def _dead_delivery(connection: Any, message: Message, letter: DeadLetter) -> None:
    try:
        replay = webhook.replay_in(message.headers)
        if replay is not None:
            await replays.give_up(connection, replay, letter.reason)
            return
        receipt = webhook.from_headers(message.id, message.headers, message.body)
    except ContractError as error:
        logger.warning("dead letter %s tells of no delivery: %s", letter.message_id, error)
        return
    if receipt.payload_id is not None:
        body = await payloads.get(connection, receipt.payload_id)
        receipt = receipt._replace(body=body or b"")
    new = await deliveries.store(connection, [receipt])
    await deliveries.settle(connection, [(each, "dead", letter.reason) for each in new])


async def _failed_run(connection: Any, message: Message, letter: DeadLetter) -> None:
    try:
        document = json.loads(message.body)
        attempt = document["attempt"]
        identifier = run_id(str(document["run_id"]))
        if type(attempt) is not int or not 0 < attempt < 2**31:
            raise ContractError("attempt is no count")
    except (ValueError, KeyError, TypeError, RecursionError, ContractError) as error:
        logger.warning("dead letter %s tells of no run: %s", letter.message_id, error)
        return
    sentence = f"a message of type {letter.type} was given up: {letter.reason}"
    await runs.fail_attempt(connection, identifier, attempt, KIND, sentence, retryable=False)
