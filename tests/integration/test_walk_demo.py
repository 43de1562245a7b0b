"""The demo's API, walked in each of the ways it offers."""

from typing import Any

import pytest
from tests.support.walk_driver import SettableClock, definition, walk_all

from headwater.app.demo_api import ORDER_COUNT, demo_api, order
from headwater.http.client import HttpClient
from headwater.model.secret import Secret
from headwater.plugins.walk.boundary import value_of

TOKEN = {"DEMO": Secret.of("demo-token")}
BEARER = {"auth": {"type": "bearer", "token": "${secret:DEMO}"}}


@pytest.mark.parametrize(
    ("pagination", "ends"),
    [
        ({"type": "link"}, "cursor_end"),
        ({"type": "cursor", "cursor_path": "next"}, "cursor_end"),
        ({"type": "offset", "total": "total"}, "total_reached"),
        ({"type": "offset", "size": 1000}, "empty_page"),
    ],
)
async def test_every_way_through_the_demo_api_gives_all_orders_once(
    pagination: dict[str, Any], ends: str
) -> None:
    async with demo_api("demo-token") as url, HttpClient(SettableClock()) as client:
        stream = definition(
            url, pagination=pagination, records="orders", request={"path": "orders"}, source=BEARER
        )
        walked = await walk_all(client, stream, secrets=TOKEN)

    assert walked.ids == list(range(1, ORDER_COUNT + 1))
    assert (walked.stop_reason, walked.warnings) == (ends, set())
    assert walked.records[41] == order(42)


async def test_the_demo_api_gives_what_changed_since_the_cursor() -> None:
    async with demo_api("demo-token", count=300) as url, HttpClient(SettableClock()) as client:
        stream = definition(
            url,
            pagination={"type": "link"},
            records="orders",
            request={"path": "orders"},
            source=BEARER,
            incremental={"field": "updated_at", "param": "updated_since"},
        )
        whole = await walk_all(client, stream, secrets=TOKEN)
        highest = max(value_of(page.highest) for page in whole.pages)
        middle = sorted(record["updated_at"] for record in whole.records)[199]
        newer = await walk_all(client, stream, secrets=TOKEN, cursor=middle)
        nothing = await walk_all(client, stream, secrets=TOKEN, cursor=highest)

    assert len(whole.records) == 300
    assert len(newer.records) == 100
    assert min(record["updated_at"] for record in newer.records) > middle
    assert (nothing.records, nothing.is_complete) == ([], True)


async def test_the_demo_api_wants_its_token() -> None:
    async with demo_api("demo-token", count=1) as url, HttpClient(SettableClock()) as client:
        walked = await walk_all(client, definition(url, records="orders", request={"path": "orders"}))

    assert walked.error is not None
    assert walked.error.kind == "unauthorized"
