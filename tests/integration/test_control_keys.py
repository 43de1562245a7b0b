"""Keys, tenants, broker users and the judgement of signatures."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from tests.support.office import Office, open_office

from headwater.app.server import serving
from headwater.control.broker_users import permissions
from headwater.control.caller import KEY_FORM
from headwater.model.secret import Secret


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        yield opened


async def test_a_key_is_shown_once_and_kept_as_a_hash(office: Office) -> None:
    made = await office.post("/keys", {"name": "reporting", "scopes": ["read"]})

    assert made.status == 201
    assert KEY_FORM.fullmatch(made.json["key"])
    shown = await office.get(f"/keys/{made.json['id']}")
    assert shown.json == {name: value for name, value in made.json.items() if name != "key"}
    assert made.headers["Location"] == f"/api/v1/keys/{made.json['id']}"
    assert made.json["key"].encode() not in (await office.get("/keys")).body
    async with office.api.as_tenant("default") as connection:
        digest = await connection.fetchval("SELECT digest FROM api_key WHERE id = $1", made.json["id"])
    assert digest == hashlib.sha256(made.json["key"].encode()).digest()


async def test_a_tenants_admin_manages_the_keys_of_its_tenant_only(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    acme = await office.key_of("acme")

    made = await acme.post("/keys", {"scopes": ["read"]})

    assert made.json["tenant"] == "acme"
    assert {key["tenant"] for key in (await acme.get("/keys")).json["items"]} == {"acme"}
    assert (await acme.ask("DELETE", "/keys/admin")).status == 404
    assert (await acme.post("/keys", {"all_tenants": True})).status == 403
    assert (await acme.post("/tenants", {"name": "more"})).status == 403
    assert len((await office.get("/keys")).json["items"]) == 3
    assert len((await office.get("/keys", headers={"X-Tenant": "acme"})).json["items"]) == 2


async def test_a_key_without_tenant_acts_where_it_says(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    made = await office.post("/keys", {"scopes": ["read"], "all_tenants": True})
    anywhere = office.with_key(made.json["key"])

    assert made.json["tenant"] is None
    assert (await anywhere.get("/runs", headers={"X-Tenant": "acme"})).status == 200
    assert (await anywhere.get("/keys")).status == 403


async def test_the_last_key_that_administers_everything_cannot_be_revoked(office: Office) -> None:
    assert (await office.ask("DELETE", "/keys/admin")).status == 409
    made = await office.post("/keys", {"scopes": ["admin"], "all_tenants": True})

    assert (await office.ask("DELETE", "/keys/admin")).status == 204
    assert (await office.get("/keys")).status == 401
    assert (await office.with_key(made.json["key"]).get("/keys")).status == 200


async def test_the_same_idempotency_key_makes_no_second_key(office: Office) -> None:
    headers = {"Idempotency-Key": "deploy-1"}
    first = await office.post("/keys", {"scopes": ["read"]}, headers=headers)

    second = await office.post("/keys", {"scopes": ["read"]}, headers=headers)

    assert (first.status, second.status) == (201, 409)
    assert len((await office.get("/keys")).json["items"]) == 2


async def test_wrong_keys_are_refused_with_their_place(office: Office) -> None:
    wrong = {
        "/scopes": {"scopes": []},
        "/scopes/0": {"scopes": ["root"]},
        "/expires_at": {"expires_at": "2020-01-01T00:00:00Z"},
        "/name": {"name": "x" * 201},
    }
    for pointer, body in wrong.items():
        answered = await office.post("/keys", body)
        assert answered.status == 422
        assert pointer in answered.pointers


async def test_tenants_are_made_once_and_listed_in_parts(office: Office) -> None:
    made = await office.post("/tenants", {"name": "acme", "minimum_interval_s": 5})

    assert (made.status, made.headers["Location"]) == (201, "/api/v1/tenants/acme")
    assert (await office.get("/tenants/acme")).json == made.json
    assert (await office.post("/tenants", {"name": "acme"})).status == 409
    assert (await office.post("/tenants", {"name": "Ac me"})).pointers == ["/name"]
    first = (await office.get("/tenants?limit=1")).json
    rest = (await office.get(f"/tenants?cursor={first['next']}")).json
    assert [tenant["name"] for tenant in first["items"] + rest["items"]] == ["acme", "default"]


async def test_a_broker_user_needs_the_management_api(office: Office) -> None:
    assert (await office.post("/tenants/default/broker-user")).status == 409
    assert (await office.post("/tenants/nobody/broker-user")).status == 404


async def test_a_broker_user_gets_the_doors_and_its_own_queues_only(database: str) -> None:
    asked: list[tuple[str, dict[str, str]]] = []
    word = "Basic " + base64.b64encode(b"boss:word").decode()

    async def management(request: web.Request) -> web.Response:
        if request.headers["Authorization"] != word:
            return web.Response(status=401)
        asked.append((f"{request.method} {request.raw_path}", await request.json()))
        return web.Response(status=201)

    async with (
        serving([web.route("*", "/{rest:.*}", management)], "127.0.0.1", 0) as port,
        open_office(database, management_url=Secret.of(f"http://boss:word@127.0.0.1:{port}")) as office,
    ):
        made = await office.post("/tenants/default/broker-user")

    assert made.json["user"] == "headwater.default"
    assert [call for call, _ in asked] == [
        "PUT /api/users/headwater.default",
        "PUT /api/permissions/%2F/headwater.default",
        "PUT /api/topic-permissions/%2F/headwater.default",
        "PUT /api/topic-permissions/%2F/headwater.default",
    ]
    documents = [document for _, document in asked]
    own = r"tenant\.default\..*|amq\.gen.*"
    assert documents[0] == {"password": made.json["password"], "tags": ""}
    assert documents[1] == {
        "configure": f"^({own})$", "write": rf"^(headwater\.in|{own})$", "read": rf"^(headwater\.events|{own})$",
    }  # fmt: skip
    assert {document["exchange"]: document["read"] for document in documents[2:]} == {
        "headwater.in": "^$", "headwater.events": r"^default\..*",
    }  # fmt: skip


def test_no_tenants_broker_user_reaches_a_queue_of_headwaters() -> None:
    from headwater.bus.topology import load_topology

    for queue in load_topology().queues:
        for tenant in ("in", "run", "dead", "page", "wait", "headwater", queue.split(".")[1]):
            allowed = permissions(tenant)
            assert not re.match(allowed["configure"], queue), (tenant, queue)
            assert not re.match(allowed["read"], queue), (tenant, queue)
            assert queue == "headwater.in" or not re.match(allowed["write"], queue), (tenant, queue)


async def test_a_management_api_that_refuses_or_is_away_is_told_without_the_password(database: str) -> None:
    async def refusing(_: web.Request) -> web.Response:
        return web.Response(status=401)

    async with serving([web.route("*", "/{rest:.*}", refusing)], "127.0.0.1", 0) as port:
        url = f"http://boss:hidden-word@127.0.0.1:{port}"
        async with open_office(database, management_url=Secret.of(url)) as office:
            refused = await office.post("/tenants/default/broker-user")
    async with open_office(database, management_url=Secret.of(url)) as office:
        away = await office.post("/tenants/default/broker-user")

    assert (refused.status, away.status) == (422, 503)
    assert b"hidden-word" not in refused.body + away.body


def signed(body: bytes, secret: str = "it is a secret") -> dict[str, object]:
    mark = hmac.new(secret.encode(), body, "sha256").hexdigest()
    return {
        "scheme": "github",
        "secrets": ["old", "it is a secret"],
        "request": {
            "url": "https://example.com/in/default/hooks",
            "headers": [["X-Hub-Signature-256", f"sha256={mark}"], ["X-GitHub-Delivery", "1"]],
            "body_base64": base64.b64encode(body).decode(),
        },
    }


async def test_a_right_signature_is_valid_and_names_the_secret_that_matched(office: Office) -> None:
    answered = await office.post("/signatures/verify", signed(b"\x00\xff{}"))

    assert answered.status == 200
    assert (answered.json["valid"], answered.json["reason"], answered.json["secret_index"]) == (True, "ok", 1)


async def test_a_wrong_signature_is_200_with_its_reason(office: Office) -> None:
    asked = signed(b"{}", "another")

    answered = await office.post("/signatures/verify", asked)

    assert answered.status == 200
    assert (answered.json["valid"], answered.json["reason"]) == (False, "mismatch")
    asked["request"]["headers"] = []
    assert (await office.post("/signatures/verify", asked)).json["reason"] == "header_missing"
    asked["secrets"] = []
    without = (await office.post("/signatures/verify", asked)).json
    unusable = (
        await office.post("/signatures/verify", {**asked, "scheme": "discord", "secrets": ["xyz"]})
    ).json
    assert (without["reason"], "needs a secret" in without["detail"]) == ("no_secret", True)
    assert (unusable["reason"], unusable["detail"].partition(";")[0]) == (
        "no_secret",
        "secret 1 of scheme discord is not hex",
    )


async def test_the_time_of_judgement_is_epoch_seconds_or_iso(office: Office) -> None:
    body = b'{"id": 1}'
    mark = hmac.new(b"whsec_test", b"1700000000." + body, "sha256").hexdigest()
    asked = {
        "scheme": "stripe",
        "secrets": ["whsec_test"],
        "request": {
            "headers": [["Stripe-Signature", f"t=1700000000,v1={mark}"]],
            "body_base64": base64.b64encode(body).decode(),
        },
    }

    async def reason(**more: object) -> str:
        return (await office.post("/signatures/verify", {**asked, **more})).json["reason"]

    assert await reason(at=1700000100) == "ok"
    assert await reason(at="2023-11-14T22:13:25Z") == "ok"
    assert await reason(at=1700000400) == "timestamp_too_old"
    assert await reason(at=1700000400, tolerance_s=500) == "ok"
    assert await reason() == "timestamp_too_old"


async def test_what_cannot_be_judged_is_refused_with_its_place_and_without_secrets(office: Office) -> None:
    right = signed(b"{}")
    wrong = {
        "/scheme": {**right, "scheme": "nobody"},
        "": {**right, "definition": {"signature": {"header": "x"}}},
        "/definition/signed": {
            **{k: v for k, v in right.items() if k != "scheme"},
            "definition": {"signature": {"header": "x"}, "signed": "{nothing}"},
        },
        "/request/body_base64": {**right, "request": {"body_base64": "@@"}},
        "/request/headers/0": {**right, "request": {"headers": [["a", "\u20ac"]]}},
        "/request": {**right, "request": None},
        "/at": {**right, "at": "0001-01-01T00:00:00+14:00"},
        "/secrets": {**right, "secrets": "one"},
    }
    for pointer, asked in wrong.items():
        answered = await office.post("/signatures/verify", asked)
        assert answered.status == 422, pointer
        assert answered.pointers == [pointer]
        assert b"it is a secret" not in answered.body
    assert json.loads((await office.post("/signatures/verify", {})).body)["status"] == 422
