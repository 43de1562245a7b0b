"""What operators ask of receiving through the API: refusals, replays, searches, tests, secrets, handshakes, counts."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.support.front import Front, open_front
from tests.support.receiving import SECRET, signature


@pytest.fixture
async def front(database: str) -> AsyncIterator[Front]:
    async with open_front(database) as opened:
        yield opened


def request(body: bytes, headers: list[list[str]] | None = None, **more: Any) -> dict[str, Any]:
    signed = [["X-Hub-Signature-256", signature(body)], ["Content-Type", "application/json"]]
    return {
        "method": "POST",
        "headers": signed if headers is None else headers,
        "body_base64": base64.b64encode(body).decode(),
        **more,
    }


async def test_a_refusal_is_seen_with_its_reason_and_without_any_value(front: Front) -> None:
    await front.apply()
    for secret, body in (("wrong", b'{"card": 4242}'), (None, b"{}")):
        status, _, said = await front.door.send("/in/default/orders", body, secret=secret)
        assert status == 401
        assert b"mismatch" not in said
    await front.books()

    seen = await front.until("/refusals?endpoint=orders", lambda told: len(told["items"]) == 2, 20)
    one = await front.office.get(f"/refusals/{seen.json['items'][0]['id']}")
    of_reason = await front.office.get("/refusals?reason=mismatch&limit=1")

    assert {each["reason"] for each in seen.json["items"]} == {"mismatch", "header_missing"}
    assert one.json == seen.json["items"][0]
    assert one.json["explanation"]
    assert [each["reason"] for each in of_reason.json["items"]] == ["mismatch"]
    assert b"4242" not in seen.body
    assert (await front.office.get("/refusals?since=2100-01-01")).json["items"] == []
    assert (await front.office.get(f"/refusals/{'0' * 8}-0000-0000-0000-{'0' * 12}")).status == 404


async def test_deliveries_are_found_by_header_by_a_place_in_the_body_and_by_text(front: Front) -> None:
    await front.apply(destination={"table": "orders"})
    for number in (1, 2):
        body = json.dumps({"data": {"id": f"evt_{number}", "n": number}}).encode()
        await front.door.send("/in/default/orders", body, headers={"X-Shop": f"s{number}"})
    both = await front.settled(2)

    for query in (
        "header=X-Shop:%20s1", "q=header:x-shop=s1", "payload=data.id%3Devt_1", "q=body.data.n%3D1", "q=evt_1",
        f"q={both[1]['id']}", "endpoint=orders&state=done&payload=data.id%3Devt_1",
    ):  # fmt: skip
        found = (await front.office.get(f"/deliveries?{query}")).json["items"]
        assert [each["id"] for each in found] == [both[1]["id"]], query
    assert len((await front.office.get("/deliveries?header=X-Shop&payload=data.id")).json["items"]) == 2
    assert (await front.office.get("/deliveries?payload=a..b")).status == 422
    detail = (await front.office.get(f"/deliveries/{both[1]['id']}")).json
    assert (detail["parsed_as"], json.loads(detail["body_text"])["data"]["n"]) == ("json", 1)


@pytest.mark.parametrize(
    ("kind", "body", "read_as", "fault"),
    [
        ("application/json", b'{"a": 1}', "json", None),
        ("application/json", b'{"a":', None, "not JSON"),
        ("application/x-www-form-urlencoded", b"a=1", "form", None),
        ("application/xml", b"<a/>", "xml", None),
        ("application/x-ndjson", b'{"a": 1}\nx', "ndjson", "line 2"),
        ("application/cloudevents+json", b"{}", None, "'specversion' is missing"),
        ("image/png", b"\x89PNG\x00", None, "neither JSON nor text"),
    ],
)
async def test_one_delivery_tells_what_its_body_is_though_nothing_needed_it(
    front: Front, kind: str, body: bytes, read_as: str | None, fault: str | None
) -> None:
    await front.apply()
    await front.door.send("/in/default/orders", body, headers={"Content-Type": kind})
    (one,) = await front.settled(1)

    detail = (await front.office.get(f"/deliveries/{one['id']}")).json

    assert (one["state"], one["parsed_as"]) == ("done", None)
    assert detail["parsed_as"] == read_as
    assert detail["parse_fault"] is None if fault is None else fault in detail["parse_fault"]


async def test_a_replay_by_filter_is_counted_first_and_tells_how_far_it_is(front: Front) -> None:
    await front.apply(destination={"table": "orders"}, records={"path": "wrong"})
    for number in range(3):
        await front.door.send("/in/default/orders", {"right": [{"n": number}]})
    dead = await front.settled(3)
    assert {each["state"] for each in dead} == {"dead"}
    await front.apply(destination={"table": "orders"}, records={"path": "right"})
    wanted = {"endpoint": "orders", "state": "dead"}

    counted = await front.office.post("/deliveries/replay", {**wanted, "dry_run": True})
    before = (await front.office.get("/replays")).json["items"]
    asked = await front.office.post(
        "/deliveries/replay", {**wanted, "rate": 500}, headers={"Idempotency-Key": "k"}
    )
    again = await front.office.post(
        "/deliveries/replay", {**wanted, "rate": 500}, headers={"Idempotency-Key": "k"}
    )
    done = await front.until(f"/replays/{asked.json['id']}", lambda told: told["state"] == "finished")

    assert (counted.status, counted.json["count"], counted.json["id"], before) == (200, 3, None, [])
    assert (asked.status, asked.json["count"]) == (202, 3)
    assert asked.headers["Location"] == f"/api/v1/replays/{asked.json['id']}"
    assert again.json["id"] == asked.json["id"]
    assert (done.json["counts"], done.json["settled"]) == ({"done": 3}, 3)
    assert [row["n"] for row in await front.spine.rows_of("orders", "n")] == [0, 1, 2]
    one = (await front.office.get(f"/deliveries/{dead[0]['id']}/replays")).json["items"]
    assert [(each["number"], each["state"], each["request"]) for each in one] == [
        (1, "done", asked.json["id"])
    ]
    assert (await front.office.post(f"/replays/{asked.json['id']}/cancel")).status == 409


async def test_what_a_search_finds_is_done_again_and_nothing_else(front: Front) -> None:
    await front.apply(destination={"table": "orders"})
    ids = []
    for number, more in ((1, {"gone": None}), (2, {}), (3, {"gone": "no"})):
        body = {"customer": {"id": f"c{number}"}, **more}
        _, _, answer = await front.door.send("/in/default/orders", body, headers={"X-Shop": f"s{number % 2}"})
        ids.append(json.loads(answer)["id"])
    await front.settled(3)

    for searched, found in (
        ({"payload": "customer.id=c2"}, [1]),
        ({"payload": "gone"}, [0, 2]),
        ({"payload": "gone=null"}, [0]),
        ({"header": "x-shop: s1", "q": "c3"}, [2]),
        ({"q": "body.customer.id=c1", "endpoint": "orders"}, [0]),
        ({"q": "c4"}, []),
    ):
        counted = await front.office.post("/deliveries/replay", {**searched, "dry_run": True})
        listed = await front.office.get("/deliveries?" + urlencode(searched))
        assert counted.json["count"] == len(found), searched
        assert {each["id"] for each in listed.json["items"]} == {ids[place] for place in found}
    asked = await front.office.post("/deliveries/replay", {"payload": "customer.id=c2"})
    done = await front.until(f"/replays/{asked.json['id']}", lambda told: told["state"] == "finished")
    faults = [
        (await front.office.post("/deliveries/replay", wrong)).pointers
        for wrong in ({"payload": "a..b"}, {"header": ": x"}, {"q": ""})
    ]

    assert (done.json["count"], done.json["filter"]) == (1, {"payload": "customer.id=c2"})
    again = {each["id"]: each["replays"] for each in await front.settled(3)}
    assert [again[each] for each in ids] == [0, 1, 0]
    assert faults == [["/payload"], ["/header"], ["/q"]]


async def test_a_slow_replay_can_be_cancelled_and_what_waited_is_not_done(front: Front) -> None:
    await front.apply(destination={"table": "orders"})
    for number in range(3):
        await front.door.send("/in/default/orders", {"n": number})
    await front.settled(3)

    asked = await front.office.post("/deliveries/replay", {"endpoint": "orders", "rate": 0.001})
    cancelled = await front.office.post(f"/replays/{asked.json['id']}/cancel")
    after = await front.until(f"/replays/{asked.json['id']}", lambda told: "waiting" not in told["counts"])

    assert asked.json["estimated_s"] == 2000
    assert cancelled.json["state"] == "cancelled"
    assert after.json["counts"]["cancelled"] >= 2
    assert await front.spine.fetch("SELECT 1 FROM outbox WHERE type = 'webhook.received'") == []
    assert {each["state"] for each in await front.settled(3)} == {"done"}


async def test_one_delivery_is_replayed_and_a_careless_filter_is_refused(front: Front) -> None:
    await front.apply(destination={"table": "orders"})
    await front.door.send("/in/default/orders", {"n": 1})
    (one,) = await front.settled(1)

    asked = await front.office.post(f"/deliveries/{one['id']}/replay")
    await front.until(f"/deliveries/{one['id']}", lambda told: told["replayed_at"] is not None)
    careless = await front.office.post("/deliveries/replay", {"rate": 5})
    unknown = await front.office.post("/deliveries/00000000-0000-0000-0000-000000000000/replay")
    nowhere = [
        await front.office.post("/deliveries/replay", {"endpoint": "order", "dry_run": is_dry})
        for is_dry in (False, True)
    ]

    assert (asked.status, asked.json["count"]) == (202, 1)
    assert careless.status == 422
    assert "names no deliveries" in careless.json["errors"][0]["detail"]
    assert unknown.status == 404
    assert [(each.status, each.pointers) for each in nowhere] == [(422, ["/endpoint"])] * 2
    assert [row["n"] for row in await front.spine.rows_of("orders", "n")] == [1]


async def test_a_test_tells_everything_that_would_happen_and_does_none_of_it(front: Front) -> None:
    await front.apply(
        destination={"table": "orders"}, fields={"n": "n"}, filter="body.n > `0`", publish=True,
        dedupe={"path": "id"},
    )  # fmt: skip
    body = b'{"id": "a", "n": 1}'

    right = (await front.office.post("/endpoints/orders/test", {"request": request(body)})).json
    unsigned = (await front.office.post("/endpoints/orders/test", {"request": request(body, [])})).json
    unwanted = (await front.office.post("/endpoints/orders/test", {"request": request(b'{"n": 0}')})).json
    strange = (
        await front.office.post("/endpoints/orders/test", {"request": request(body, method="PUT")})
    ).json
    zipped = request(body, [["Content-Encoding", "gzip"], *request(body)["headers"]])
    packed = (await front.office.post("/endpoints/orders/test", {"request": zipped})).json

    assert (right["status"], right["refused"], right["state"], right["key"]) == (202, None, "done", "a")
    assert right["tables"][0]["records"] == [{"n": 1}]
    assert right["event"] == "default.webhook.orders.received"
    assert right["verification"]["secret"] == 0
    short = {"headers": {"X-Hub-Signature-256": signature(body)}, "body": body.decode()}
    assert (await front.office.post("/endpoints/orders/test", short)).json == right
    both = await front.office.post("/endpoints/orders/test", {**short, "body_base64": "YQ=="})
    assert (both.status, both.pointers) == (422, ["/request"])
    assert (unsigned["status"], unsigned["refused"]) == (401, "header_missing")
    assert (unwanted["status"], unwanted["state"], unwanted["tables"]) == (202, "filtered", [])
    assert (strange["status"], strange["refused"]) == (405, "method")
    assert (packed["status"], packed["refused"]) == (415, "compressed")
    assert (await front.office.get("/deliveries")).json["items"] == []
    assert await front.spine.fetch("SELECT 1 FROM outbox") == []

    await front.door.send("/in/default/orders", body)
    (stored,) = await front.settled(1)
    known = (await front.office.post("/endpoints/orders/test", {"request": request(body)})).json
    again = (await front.office.post("/endpoints/orders/test", {"delivery": stored["id"]})).json
    assert known["duplicate_of"] == stored["id"]
    assert (again["status"], again["duplicate_of"]) == (202, None)
    for wrong in ({}, {"request": request(body), "delivery": stored["id"]}):
        assert (await front.office.post("/endpoints/orders/test", wrong)).status == 422
    assert (await front.office.post("/endpoints/none/test", {"request": request(body)})).status == 404


@pytest.mark.parametrize(
    ("remote", "status"),
    [
        ("198.51.100.9", 202),
        ("::ffff:198.51.100.9", 202),
        ("198.51.100.9:4711", 202),
        ("6.6.6.6", 403),
        ("nobody", 403),
        (None, 403),
    ],
)
async def test_a_test_judges_addresses_as_the_receiver_does(
    front: Front, remote: str | None, status: int
) -> None:
    await front.apply(allow=["::ffff:198.51.100.0/120"])

    told = await front.office.post("/endpoints/orders/test", {"request": request(b"{}"), "remote": remote})

    assert told.json["status"] == status


async def test_a_signature_by_a_secret_outside_of_its_window_is_told_to_the_operator(front: Front) -> None:
    await front.apply(
        secrets=[
            "now",
            {"value": "gone", "not_after": "2020-01-01T00:00:00Z"},
            {"value": "soon", "not_before": "2999-01-01T00:00:00Z"},
        ]
    )

    answers = [
        await front.door.send("/in/default/orders", secret=secret) for secret in ("gone", "soon", "none")
    ]
    await front.books()
    refusals = (await front.office.get("/refusals")).json["items"]
    asked = request(b"{}", [["X-Hub-Signature-256", signature(b"{}", "soon")]])
    tested = (await front.office.post("/endpoints/orders/test", {"request": asked})).json

    said = "made with secret {}, which does not count at this moment"
    assert [(status, b"secret" in body) for status, _, body in answers] == [(401, False)] * 3
    assert [(each["reason"], each["detail"]) for each in refusals] == [
        ("mismatch", ""),
        ("mismatch", said.format(2)),
        ("mismatch", said.format(1)),
    ]
    assert (tested["refused"], tested["verification"]["detail"]) == ("mismatch", said.format(2))
    await front.apply(secrets=[{"value": "gone", "not_after": "2020-01-01T00:00:00Z"}])
    tested = (
        await front.office.post(
            "/endpoints/orders/test",
            {"request": request(b"{}", [["X-Hub-Signature-256", signature(b"{}", "gone")]])},
        )
    ).json
    assert (tested["refused"], tested["verification"]["detail"]) == ("no_secret", said.format(0))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (gzip.compress(b'{"n": 1}'), (202, None)),
        (gzip.compress(b" " * 2000), (413, "too_large")),
        (gzip.compress(b'{"n": 1}')[:-1], (400, "damaged_body")),
    ],
    ids=["taken", "too large", "cut"],  # a compressed body says when it was made
)
async def test_a_test_of_a_compressed_body_tells_what_the_receiver_answers(
    front: Front, body: bytes, told: tuple[int, str | None]
) -> None:
    await front.apply(limits={"compressed": True, "body_bytes": 1000})
    headers = [["X-Hub-Signature-256", signature(body)], ["Content-Encoding", "gzip"]]

    tested = (await front.office.post("/endpoints/orders/test", {"request": request(body, headers)})).json
    status, _, _ = await front.door.send("/in/default/orders", body, headers={"Content-Encoding": "gzip"})

    assert (tested["status"], tested["refused"]) == told
    assert status == told[0]


async def test_what_is_made_for_http_basic_is_a_user_and_a_password(front: Front) -> None:
    await front.apply(scheme="basic_auth", secrets=["shop:old"])

    made = (await front.office.post("/endpoints/orders/secrets/rotate", {})).json["secret"]
    await front.door.receiver._endpoints.load()
    shown = {"Authorization": "Basic " + base64.b64encode(made.encode()).decode()}
    status, _, _ = await front.door.send("/in/default/orders", headers=shown, secret=None)

    user, _, password = made.partition(":")
    assert (user, len(password) >= 32, status) == ("headwater", True, 202)


async def test_a_secret_is_rotated_and_retired_without_one_refused_request(front: Front) -> None:
    await front.apply()

    rotated = await front.office.post("/endpoints/orders/secrets/rotate", {})
    new = rotated.json["secret"]
    answers = [(await front.door.send("/in/default/orders", secret=secret))[0] for secret in (SECRET, new)]
    states = (await front.office.get("/endpoints/orders/secrets")).json["items"]
    unsafe = await front.office.post("/endpoints/orders/secrets/retire", {"index": 1})
    forced = await front.office.post(
        "/endpoints/orders/secrets/retire", {"name": states[1]["name"], "force": True}
    )
    last = await front.office.post("/endpoints/orders/secrets/retire", {"index": 0, "force": True})
    await front.door.receiver._endpoints.load()
    after = [(await front.door.send("/in/default/orders", secret=secret))[0] for secret in (SECRET, new)]

    assert answers == [202, 202]
    assert [(each["state"], each["safe_to_retire"]) for each in states] == [("active", False)] * 2
    assert states[0]["name"] != states[1]["name"]
    assert states[1]["not_after"] is not None
    assert unsafe.status == 409
    assert "not safe" in unsafe.json["detail"]
    assert [each["index"] for each in forced.json["items"]] == [0]
    assert last.status == 409
    assert after == [401, 202]
    shown = (await front.office.get("/endpoints/orders")).body
    assert new.encode() not in shown
    assert SECRET.encode() not in shown


async def test_a_manifest_with_a_new_secret_in_front_keeps_the_old_one_at_work(front: Front) -> None:
    await front.apply()
    shown = (await front.office.get("/endpoints/orders")).json["definition"]["secrets"]

    await front.apply(secrets=["another secret", *shown])

    for secret in ("another secret", SECRET):
        assert (await front.door.send("/in/default/orders", secret=secret))[0] == 202


async def test_a_provider_hands_its_secret_over_once_and_the_operator_may_let_it_do_so_again(
    front: Front,
) -> None:
    await front.apply(scheme="notion", secrets=[])
    token = json.dumps({"verification_token": "secret_abc"}).encode()
    awaiting = (await front.office.get("/endpoints/orders/handshake")).json

    made = await front.door.send("/in/default/orders", token, secret=None)
    second = await front.door.send("/in/default/orders", token, secret=None)
    state = (await front.office.get("/endpoints/orders/handshake")).json
    revealed = await front.office.post("/endpoints/orders/handshake/secret")
    twice = await front.office.post("/endpoints/orders/handshake/secret")
    reset = await front.office.post("/endpoints/orders/handshake/reset")

    assert (awaiting["state"], state["state"], reset.json["state"]) == ("awaiting", "made", "awaiting")
    assert (made[0], second[0]) == (200, 401)
    assert (revealed.json, twice.status) == ({"secret": "secret_abc"}, 409)
    await front.apply(name="plain")
    assert (await front.office.post("/endpoints/plain/handshake/reset")).status == 409


async def test_an_endpoint_is_made_changed_switched_and_removed(front: Front) -> None:
    made = await front.office.post("/endpoints", {"name": "hooks", "scheme": "github", "secrets": ["s"]})
    taken = await front.office.post("/endpoints", {"name": "hooks", "scheme": "github", "secrets": ["s"]})
    wrong = await front.office.post(
        "/endpoints", {"name": "x", "scheme": "githob", "secrets": ["s"], "filter": "a["}
    )
    patched = await front.office.ask(
        "PATCH",
        "/endpoints/hooks",
        json={"limits": {"body_bytes": 10}},
        headers={"If-Match": made.headers["ETag"]},
    )
    stale = await front.office.ask("DELETE", "/endpoints/hooks", headers={"If-Match": made.headers["ETag"]})
    off = await front.office.post("/endpoints/hooks/disable")
    await front.door.receiver._endpoints.load()
    closed = (await front.door.send("/in/default/hooks", b"{}", secret="s"))[0]
    await front.office.post("/endpoints/hooks/enable")
    await front.door.receiver._endpoints.load()
    opened = (await front.door.send("/in/default/hooks", b"{}", secret="s"))[0]
    large = (await front.door.send("/in/default/hooks", b" " * 11, secret="s"))[0]
    gone = await front.office.ask("DELETE", "/endpoints/hooks")

    assert (made.status, made.headers["Location"]) == (201, "/api/v1/endpoints/hooks")
    assert taken.status == 409
    assert (wrong.status, "/scheme" in wrong.pointers) == (422, True)
    assert patched.json["definition"]["limits"]["body_bytes"] == 10
    assert (stale.status, off.json["enabled"], closed, opened, large) == (412, False, 404, 202, 413)
    assert gone.status == 204
    assert (await front.office.get("/endpoints/hooks")).status == 404
    assert (await front.office.ask("PUT", "/endpoints/hooks", json={"name": "other"})).pointers == ["/name"]


async def test_counts_tell_what_was_received_verified_refused_and_a_duplicate(front: Front) -> None:
    await front.apply(dedupe={"path": "id"})
    for secret in (SECRET, SECRET, "wrong"):
        await front.door.send("/in/default/orders", {"id": 1}, secret=secret)
    await front.settled(1)
    await front.books()

    told = await front.until(
        "/endpoints/orders/stats", lambda told: (told["received"], told["duplicates"]) == (3, 1), 20
    )

    stats = told.json
    assert (stats["verified"], stats["refused"], stats["duplicates"]) == (2, {"mismatch": 1}, 1)
    assert stats["deliveries"] == {"done": 1}
    assert stats["last_delivery_at"] is not None
    assert stats["quiet_s"] < 60
    assert (stats["retention_days"], stats["oldest_delivery_at"] is not None) == (30, True)
    assert (await front.office.get("/endpoints/orders/stats?since=2100-01-01")).json["received"] == 0


async def test_deliveries_are_followed_each_once_from_a_position(front: Front) -> None:
    await front.apply()
    start = (await front.office.get("/endpoints/orders/follow")).json
    body = bytes(range(256))
    await front.door.send("/in/default/orders", body, headers={"X-A": "1"})
    first = (await front.office.get(f"/endpoints/orders/follow?wait_s=10&after={start['position']}")).json
    await front.door.send("/in/default/orders", b"2")

    rest = (await front.office.get(f"/endpoints/orders/follow?wait_s=10&after={first['position']}")).json
    nothing = (await front.office.get(f"/endpoints/orders/follow?after={rest['position']}")).json
    everything = (await front.office.get("/endpoints/orders/follow?after=beginning")).json

    assert start["items"] == nothing["items"] == []
    assert base64.b64decode(first["items"][0]["body_base64"]) == body
    assert ["X-A", "1"] in first["items"][0]["headers"]
    assert [base64.b64decode(each["body_base64"]) for each in rest["items"]] == [b"2"]
    assert len(everything["items"]) == 2
    assert (await front.office.get("/endpoints/orders/follow?after=x")).status == 422
    assert (await front.office.get("/endpoints/none/follow")).status == 404


async def test_a_named_secret_is_set_used_and_removed_only_when_nobody_uses_it(front: Front) -> None:
    missing = await front.office.ask(
        "PUT", "/endpoints/orders", json={"scheme": "github", "secrets": ["${secret:shop}"]}
    )
    made = await front.office.ask("PUT", "/secrets/shop", json={"value": SECRET})
    await front.apply(secrets=["${secret:shop}"])
    accepted = (await front.door.send("/in/default/orders"))[0]
    changed = await front.office.ask("PUT", "/secrets/shop", json={"value": "other"})
    await front.door.receiver._endpoints.load()
    refused, used = (
        (await front.door.send("/in/default/orders"))[0],
        await front.office.ask("DELETE", "/secrets/shop"),
    )
    await front.office.ask("DELETE", "/endpoints/orders")
    gone = await front.office.ask("DELETE", "/secrets/shop")
    keys = (await front.office.get("/secret-keys")).json["items"]

    assert missing.status == 422
    assert (made.status, changed.status, accepted, refused) == (201, 200, 202, 401)
    assert changed.json["used_by"] == ["endpoint orders"]
    assert SECRET.encode() not in made.body
    assert (used.status, gone.status) == (409, 204)
    assert [(each["is_active"], each["secrets"]) for each in keys] == [(True, 0)]
    assert (await front.office.post("/secret-keys/rotate")).json == {"resealed": 0, "current": 0}


async def test_presets_are_listed_by_kind_and_shown_by_name(front: Front) -> None:
    schemes = (await front.office.get("/presets?kind=signature&limit=500")).json["items"]
    found = (await front.office.get("/presets?q=stripe")).json["items"]

    assert len(schemes) > 50
    assert "stripe" in [each["name"] for each in found]
    assert (await front.office.get("/presets/stripe")).json["definition"]["id"] == "stripe"
    assert (await front.office.get("/presets/slack_url_verification")).json["kind"] == "handshake"
    assert (await front.office.get("/presets/daily_2am")).json["kind"] == "schedule"
    assert (await front.office.get("/presets/nobody")).status == 404


async def test_another_tenant_sees_and_touches_nothing_of_it(front: Front) -> None:
    await front.apply(destination={"table": "orders"})
    await front.door.send("/in/default/orders", {"n": 1})
    await front.door.send("/in/default/orders", {"n": 1}, secret="wrong")
    (one,) = await front.settled(1)
    await front.books()
    refused = (await front.until("/refusals", lambda told: len(told["items"]) == 1, 20)).json["items"][0]
    asked = (await front.office.post(f"/deliveries/{one['id']}/replay")).json["id"]
    await front.office.post("/tenants", {"name": "acme"})
    acme = await front.office.key_of("acme")

    for method, path in (
        ("GET", "/endpoints/orders"), ("GET", "/endpoints/orders/stats"), ("GET", "/endpoints/orders/secrets"),
        ("GET", "/endpoints/orders/follow"), ("DELETE", "/endpoints/orders"), ("POST", "/endpoints/orders/disable"),
        ("GET", f"/refusals/{refused['id']}"), ("POST", f"/deliveries/{one['id']}/replay"),
        ("GET", f"/replays/{asked}"), ("POST", f"/replays/{asked}/cancel"),
        ("GET", f"/deliveries/{one['id']}/duplicates"),
    ):  # fmt: skip
        assert (await acme.ask(method, path)).status == 404, path
    for path in ("/refusals", "/replays", "/deliveries", "/endpoints", "/secrets"):
        assert (await acme.get(path)).json["items"] == [], path
    assert (await acme.post("/deliveries/replay", {"all": True})).json["count"] == 0


async def test_a_field_is_hashed_with_the_tenants_key_and_without_the_key_its_delivery_is_dead(
    front: Front,
) -> None:
    await front.office.ask("PUT", "/secrets/pepper", json={"value": "salt and pepper"})
    await front.apply(
        destination={"table": "orders"}, fields={"mail": {"path": "mail", "hash": "${secret:pepper}"}}
    )  # fmt: skip
    body = b'{"mail": "a@example.com"}'
    wanted = hmac.new(b"salt and pepper", b"a@example.com", hashlib.sha256).hexdigest()

    tested = (await front.office.post("/endpoints/orders/test", {"request": request(body)})).json
    await front.door.send("/in/default/orders", body)
    await front.settled(1)
    async with front.spine.api.as_tenant("default") as connection:
        await connection.execute("DELETE FROM secret WHERE name = 'pepper'")
    await front.door.send("/in/default/orders", body)
    dead = (await front.settled(2))[0]

    assert tested["tables"][0]["records"] == [{"mail": wanted}]
    assert [row["mail"] for row in await front.spine.rows_of("orders", "mail")] == [wanted]
    assert (dead["state"], dead["reason"]) == (
        "dead", "fields: secret 'pepper' is not there: set it, or correct the name",
    )  # fmt: skip


async def test_who_waits_for_deliveries_is_let_go_when_the_service_ends(front: Front) -> None:
    await front.apply()
    waiting = asyncio.create_task(front.office.get("/endpoints/orders/follow?wait_s=25"))
    async with asyncio.timeout(10):
        while not waiting.done():
            front.office.control.let_go()
            await asyncio.sleep(0.02)

    assert (await waiting).json["items"] == []
