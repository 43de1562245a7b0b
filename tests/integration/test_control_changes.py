"""Sources, streams and schedules made, changed and removed one by one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.office import MANIFEST, Office, open_office

YAML = {"Content-Type": "application/yaml"}
STREAM = {"name": "customers", "request": {"path": "/customers"}, "destination": {"table": "customers"}}
DAILY = {"name": "daily", "streams": ["shop.orders"], "cron": "0 3 * * *"}
AT_ONCE = 6
KINDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("schedules", DAILY, {"cron": "0 4 * * *"}),
    ("endpoints", {"name": "git", "scheme": "github", "secrets": ["s"]}, {"parse": "json"}),
    (
        "notifications",
        {
            "name": "ops",
            "events": ["failed"],
            "target": {"type": "slack", "url": "https://hooks.slack.com/x"},
        },
        {"events": ["late"]},
    ),
    ("calendars", {"name": "closed", "dates": ["2026-12-24"]}, {"dates": ["2026-12-25"]}),
    ("destinations", {"name": "out", "kind": "amqp", "exchange": "out"}, {"exchange": "out2"}),
]


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        answered = await opened.post("/config/import", data=MANIFEST, headers=YAML)
        assert answered.status == 200, answered.body
        yield opened


async def test_a_schedule_is_made_read_changed_and_removed(office: Office) -> None:
    made = await office.post("/schedules", json=DAILY)
    read = await office.get("/schedules/daily")
    patched = await office.ask(
        "PATCH",
        "/schedules/daily",
        json={"cron": None, "interval": "2h"},
        headers={"If-Match": read.headers["ETag"]},
    )
    stale = await office.ask(
        "PATCH", "/schedules/daily", json={"enabled": False}, headers={"If-Match": read.headers["ETag"]}
    )
    put = await office.ask("PUT", "/schedules/daily", json={"streams": ["shop.refunds"], "enabled": False})
    gone = await office.ask("DELETE", "/schedules/daily")

    assert (made.status, made.headers["Location"]) == (201, "/api/v1/schedules/daily")
    assert made.json["next_at"] is not None
    assert (read.status, read.json["definition"]["cron"]) == (200, "0 3 * * *")
    assert (patched.status, patched.json["definition"]["interval"]) == (200, "2h")
    assert patched.json["definition"]["cron"] is None
    assert stale.status == 412
    assert (put.status, put.json["state"], put.json["streams"]) == (200, "disabled", ["shop.refunds"])
    assert gone.status == 204
    assert (await office.get("/schedules/daily")).status == 404


async def test_mistakes_are_told_at_their_places_in_the_document(office: Office) -> None:
    wrong = await office.post("/schedules", json={**DAILY, "cron": "61 * * * *"})
    unknown = await office.post("/schedules", json={**DAILY, "streams": ["shop.nothing"]})
    nameless = await office.post("/schedules", json={"streams": ["shop.orders"]})
    renamed = await office.ask("PUT", "/schedules/nightly", json={**DAILY, "name": "other"})
    stream = await office.post(
        "/sources/shop/streams", json={**STREAM, "destination": {"table": "t", "mode": "merge"}}
    )

    assert [each.status for each in (wrong, unknown, nameless, renamed, stream)] == [422] * 5
    assert wrong.pointers == ["/cron"]
    assert unknown.pointers == ["/streams/0"]
    assert nameless.pointers == ["/name"]
    assert renamed.pointers == ["/name"]
    assert stream.pointers == ["/destination"]


@pytest.mark.parametrize("name", [["a"], {"a": 1}, 5, None])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_stream_without_a_name_is_told_at_its_place(office: Office, method: str, name: Any) -> None:
    document = {"base_url": "https://api.example.com", "streams": [{**STREAM, "name": name}]}

    refused = await office.ask(method, "/sources/shop", json=document)

    assert refused.status == 422
    assert refused.pointers == ["/streams/0/name"]


async def test_what_is_there_is_not_made_twice(office: Office) -> None:
    again = await office.post("/schedules", json={**DAILY, "name": "nightly"})
    source = await office.post("/sources", json={"name": "shop", "base_url": "https://api.example.com"})
    stream = await office.post("/sources/shop/streams", json={**STREAM, "name": "orders"})

    assert [each.status for each in (again, source, stream)] == [409] * 3


@pytest.mark.parametrize(("plural", "document", "change"), KINDS)
async def test_of_several_changes_at_once_one_is_made_and_the_others_are_told(
    office: Office, plural: str, document: dict[str, Any], change: dict[str, Any]
) -> None:
    place = f"/{plural}/{document['name']}"

    made = await asyncio.gather(*(office.post(f"/{plural}", document) for _ in range(AT_ONCE)))
    again = await office.post(f"/{plural}", {"name": document["name"], "nothing": "known"})
    seen = {"If-Match": (await office.get(place)).headers["ETag"]}
    changed = await asyncio.gather(
        *(office.ask("PATCH", place, json=change, headers=seen) for _ in range(AT_ONCE))
    )

    assert sorted(each.status for each in made) == [201, *[409] * (AT_ONCE - 1)], made[0].body
    assert again.status == 409
    assert sorted(each.status for each in changed) == [200, *[412] * (AT_ONCE - 1)], changed[0].body


@pytest.mark.parametrize(("plural", "document", "change"), KINDS)
async def test_what_is_only_to_be_made_replaces_nothing(
    office: Office, plural: str, document: dict[str, Any], change: dict[str, Any]
) -> None:
    place = f"/{plural}/{document['name']}"
    only_make = {"If-None-Match": "*"}

    made = await office.ask("PUT", place, json=document, headers=only_make)
    again = await office.ask("PUT", place, json=document | change, headers=only_make)
    this_one = {"If-None-Match": f'"x", W/{made.headers["ETag"]}'}
    not_this_one = await office.ask("PATCH", place, json=change, headers=this_one)
    another = await office.ask("PATCH", place, json=change, headers={"If-None-Match": '"x"'})

    assert [each.status for each in (made, again, not_this_one, another)] == [201, 412, 412, 200]


async def test_a_stream_is_made_changed_and_removed_without_its_neighbours(office: Office) -> None:
    made = await office.post("/sources/shop/streams", json=STREAM)
    patched = await office.ask(
        "PATCH", "/sources/shop/streams/customers", json={"request": {"path": "/v2/customers"}}
    )
    gone = await office.ask("DELETE", "/sources/shop/streams/customers")
    left = await office.get("/sources/shop/streams")

    assert (made.status, made.headers["Location"]) == (201, "/api/v1/sources/shop/streams/customers")
    assert patched.json["definition"]["request"]["path"] == "/v2/customers"
    assert patched.json["definition"]["destination"]["table"] == "customers"
    assert made.headers["ETag"] != patched.headers["ETag"]
    assert gone.status == 204
    assert [each["name"] for each in left.json["items"]] == ["shop.orders", "shop.refunds"]


async def test_what_is_used_is_removed_only_with_its_users(office: Office) -> None:
    both = {**DAILY, "streams": ["shop.orders", "shop.refunds"]}
    assert (await office.post("/schedules", json=both)).status == 201
    assert (
        await office.post("/schedules", json={"name": "then", "streams": ["shop.refunds"], "after": "daily"})
    ).status == 201

    stream = await office.ask("DELETE", "/sources/shop/streams/orders")
    upstream = await office.ask("DELETE", "/schedules/daily")
    cascaded = await office.ask("DELETE", "/sources/shop/streams/orders?cascade=true")
    kept = await office.get("/schedules/daily")
    assert (await office.ask("DELETE", "/schedules/daily?cascade=true")).status == 204
    then = await office.get("/schedules/then")

    assert stream.status == 409
    assert "schedule daily, schedule nightly" in stream.json["detail"]
    assert upstream.status == 409
    assert "then" in upstream.json["detail"]
    assert cascaded.status == 204
    assert kept.json["streams"] == ["shop.refunds"]
    assert (await office.get("/schedules/nightly")).status == 404
    assert then.json["definition"]["after"] is None


async def test_a_source_keeps_its_streams_and_secrets_when_it_is_changed(office: Office) -> None:
    before = await office.get("/sources/shop")
    patched = await office.ask("PATCH", "/sources/shop", json={"timeout_s": 5})
    put = await office.ask(
        "PUT",
        "/sources/shop",
        json={"base_url": "https://api.example.com/v9", "auth": before.json["definition"]["auth"]},
    )
    losing = await office.ask(
        "PUT", "/sources/shop", json={"base_url": "https://api.example.com/v9", "streams": []}
    )
    streams = await office.get("/sources/shop/streams")
    gone = await office.ask("DELETE", "/sources/shop?cascade=true")

    assert patched.json["definition"]["timeout_s"] == 5
    assert patched.json["definition"]["auth"] == before.json["definition"]["auth"]
    assert b"very-secret-token" not in before.body + patched.body + put.body
    assert (put.status, put.json["definition"]["base_url"]) == (200, "https://api.example.com/v9")
    assert losing.status == 409
    assert len(streams.json["items"]) == 2
    assert gone.status == 204
    assert (await office.get("/sources/shop")).status == 404
    assert (await office.get("/schedules/nightly")).status == 404


async def test_a_cursor_is_not_set_to_what_cannot_be_compared_with_it(office: Office) -> None:
    path = "/sources/shop/streams/orders/cursor"
    first = await office.ask("PUT", path, json={"value": "2026-01-01T00:00:00Z"})
    garbage = await office.ask("PUT", path, json={"value": "garbage"})
    number = await office.ask("PUT", path, json={"value": 17})
    thing = await office.ask("PUT", path, json={"value": {"a": 1}})
    later = await office.ask("PUT", path, json={"value": "2026-02-01"})

    assert (first.status, later.status) == (200, 200)
    assert [each.status for each in (garbage, number, thing)] == [422] * 3
    assert [each.pointers for each in (garbage, number, thing)] == [["/value"]] * 3
    assert (await office.get(path)).json["value"] == "2026-02-01"


async def test_a_cursor_that_is_a_whole_number_is_set_to_whole_numbers_alone(office: Office) -> None:
    whole = MANIFEST.replace("field: updated_at", "field: number, format: integer")
    assert whole != MANIFEST
    await office.post("/config/import", data=whole, headers=YAML)
    path = "/sources/shop/streams/orders/cursor"
    fraction = await office.ask("PUT", path, json={"value": "12.5"})
    large = await office.ask("PUT", path, json={"value": 2**80})
    text = await office.ask("PUT", path, json={"value": "12"})

    assert [each.status for each in (fraction, large, text)] == [422, 200, 422]
    assert (fraction.pointers, text.pointers) == (["/value"], ["/value"])
