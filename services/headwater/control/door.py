"""The AMQP door: `run.request` and `event.<endpoint>` from the programs of tenants (DESIGN.md §5, AMQP).

Whose request it is says the broker's verified user, `headwater.<tenant>`, never the message. The message id is the
idempotency key: the same id asks for the same run, and names the same delivery.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from headwater.bus.port import Message
from headwater.bus.wire import from_message
from headwater.contracts.messages import RunRequest
from headwater.control import event_door
from headwater.control.broker_users import tenant_of
from headwater.control.caller import TENANT_FORM
from headwater.control.reading import faults_in
from headwater.control.starting import (
    KeyReusedError,
    NotStartableError,
    Starter,
    UnknownStreamError,
    start_run,
)
from headwater.model.errors import Reject
from headwater.model.run import Trigger
from headwater.store import config
from headwater.store.bell import Bell
from headwater.store.database import Database

_ID = re.compile(r"[\x21-\x7e]{1,255}")


class Door:
    """The handler of `headwater.in`."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self._bell = bell

    async def handle(self, messages: Sequence[Message]) -> None:
        """Start what `messages` ask for, and take the events among them. Raises: Reject for what nobody can start."""
        for message in messages:
            await self._start(message)
        self._bell.ring()

    async def _start(self, message: Message) -> None:
        tenant = _sender(message)
        if _ID.fullmatch(message.id) is None:
            raise Reject(
                "message_id is missing or no visible ASCII: it is the idempotency key; set a new one per request"
            )
        if message.type.startswith(event_door.PREFIX):
            async with self._database.transaction() as connection:
                await event_door.hand_in(connection, tenant, message, datetime.now(UTC))
            return
        if message.type != RunRequest.type:
            raise Reject(
                f"{message.type[:80]!r} is nothing that can be handed in: use run.request or event.<endpoint>"
            )
        request = from_message(RunRequest, message)
        for path, fault in faults_in(request.model_dump(mode="python")):
            raise Reject(f"run.request: /{'/'.join(map(str, path))} {fault}")
        starter = Starter(Trigger.AMQP, f"broker user {message.user_id}", message.id)
        try:
            async with self._database.transaction() as connection:
                if not await config.has_tenant(connection, tenant):
                    raise Reject(f"there is no tenant {tenant!r}")
                await start_run(connection, tenant, request, starter)
        except NotStartableError as error:
            raise Reject(f"run.request: /{error.place}: {error}") from error
        except (UnknownStreamError, KeyReusedError) as error:
            raise Reject(str(error)) from error


def _sender(message: Message) -> str:
    if message.user_id is None:
        raise Reject(
            "user_id is missing: publish with the user_id of the connection, which the broker verifies"
        )
    tenant = tenant_of(message.user_id)
    if tenant is None or TENANT_FORM.fullmatch(tenant) is None:
        raise Reject(f"user {message.user_id[:80]!r} belongs to no tenant: connect as headwater.<tenant>")
    return tenant
