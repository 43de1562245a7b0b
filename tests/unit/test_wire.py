"""Typed messages keep every digit, whether they say that their numbers are plain or not."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from headwater.bus.port import Message
from headwater.bus.wire import NUMBERS_HEADER, from_message, to_message
from headwater.contracts.codec import dumps
from headwater.contracts.messages import BatchReady, RunRequest
from headwater.model.errors import Reject

LONG = Decimal("12345678901234567890.125")


def batch(token: Any) -> BatchReady:
    return BatchReady(
        run_id=UUID(int=7), attempt=1, tenant="default", stream_version=UUID(int=8), number=1,
        token={"place": {"after": token}}, fetched_at=datetime.now(UTC), started_at=datetime.now(UTC),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("token", "records", "records_are_plain", "is_told"),
    [
        (5, [{"id": 1, "share": 0.1}], True, True),
        (5, [{"id": LONG}], False, False),
        (LONG, [{"id": 1}], True, False),  # the records do not speak for the rest
        (5, [{"id": 1}], False, False),
    ],
)
def test_a_message_says_that_its_numbers_are_plain_only_when_all_of_them_are(
    token: Any, records: list[Any], records_are_plain: bool, is_told: bool
) -> None:
    message = to_message(
        batch(token), "id", "default", parts={"records": dumps(records)}, is_plain=records_are_plain
    )

    read = from_message(BatchReady, message)

    assert (NUMBERS_HEADER in message.headers) is is_told
    assert read.token == {"place": {"after": token}}
    assert read.records == records


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"stream": "shop.orders", "modee": "full"}, "/modee: is not known here; did you mean `mode`?"),
        (
            {"stream": "shop.orders", "mode": "ful"},
            "/mode: must be 'auto', 'incremental', 'full' or 'dry_run'",
        ),
        ({"mode": "full"}, "/stream: is missing; add it"),
        ({"stream": "shop.orders", "force": "maybe"}, "/force: must be true or false"),
        ({"stream": "shop.orders", "parameters": []}, "/parameters: must be a mapping"),
    ],
)
def test_what_is_wrong_in_a_message_of_others_is_told_with_its_mend(document: Any, says: str) -> None:
    message = Message(RunRequest.type, "wanted-1", dumps(document), user_id="headwater.default")

    with pytest.raises(Reject) as caught:
        from_message(RunRequest, message)

    assert f"run.request: {says}" in str(caught.value)
