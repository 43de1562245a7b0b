"""The frame of the API: keys, tenants, problems, limits of bodies, lists."""

import asyncio
import io
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from tests.support.office import ADMIN, MANIFEST, Office, open_office

from headwater.control.reading import MAX_BODY_BYTES


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        yield opened


async def apply(office: Office, **headers: str) -> None:
    applied = await office.post(
        "/config/import", data=MANIFEST, headers={"Content-Type": "application/yaml", **headers}
    )
    assert applied.status == 200, applied.body


def is_problem(answered: object, status: int) -> bool:
    document = answered.json
    return (
        answered.status == status
        and answered.headers["Content-Type"] == "application/problem+json"
        and document["status"] == status
        and {"type", "title", "detail"} <= set(document)
    )


async def test_without_a_key_the_api_answers_401_and_says_how_to_send_one(office: Office) -> None:
    answered = await office.with_key(None).get("/runs")

    assert is_problem(answered, 401)
    assert answered.headers["WWW-Authenticate"].startswith("Bearer")


STRANGE_KEYS = (
    "x",
    "hw_admin_" + "a" * 31,
    "hw_ADMIN_" + "a" * 40,
    "hw_admin_" + "a" * 300,
    "hw_" + "b" * 33 + "_" + "a" * 40,
    ADMIN + "a",
    "hw_nobody_" + "a" * 40,
    "hw_admin_" + "\xe4" * 40,
)


async def test_a_key_of_another_form_or_secret_is_401(office: Office) -> None:
    answers = {shown: await office.with_key(shown).get("/runs") for shown in STRANGE_KEYS}

    assert {shown: answer.status for shown, answer in answers.items()} == dict.fromkeys(STRANGE_KEYS, 401)
    assert all(shown.encode() not in answer.body or shown == "x" for shown, answer in answers.items())


async def test_a_key_goes_as_bearer_too_but_two_different_ones_are_refused(office: Office) -> None:
    nobody = office.with_key(None)

    assert (await nobody.get("/runs", headers={"Authorization": f"Bearer {ADMIN}"})).status == 200
    assert (
        await nobody.get("/runs", headers={"Authorization": f"bearer {ADMIN}", "X-API-Key": ADMIN})
    ).status == 200
    assert (await office.get("/runs", headers={"Authorization": "Bearer hw_x_" + "b" * 40})).status == 401


async def test_a_revoked_or_expired_key_is_401(office: Office) -> None:
    other = await office.key_of("default", "read")
    key_id = other.key.split("_")[1]
    assert (await other.get("/runs")).status == 200

    assert (await office.ask("DELETE", f"/keys/{key_id}")).status == 204

    assert is_problem(await other.get("/runs"), 401)
    assert is_problem(await office.ask("DELETE", f"/keys/{key_id}"), 404)
    async with office.api.as_tenant("default") as connection:
        await connection.execute(
            "UPDATE api_key SET revoked_at = NULL, expires_at = now() - interval '1 s' WHERE id = $1", key_id
        )
    assert is_problem(await other.get("/runs"), 401)


async def test_a_scope_that_a_key_lacks_is_403_and_admin_includes_the_others(office: Office) -> None:
    reader = await office.key_of("default", "read")
    runner = await office.key_of("default", "run")

    assert is_problem(await reader.post("/runs", {"stream": "shop.orders"}), 403)
    assert is_problem(await runner.get("/runs"), 403)
    assert is_problem(await reader.get("/keys"), 403)
    assert (await office.get("/runs")).status == 200


async def test_a_global_key_names_its_tenant_and_an_unknown_one_is_404(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    await apply(office, **{"X-Tenant": "acme"})

    assert (await office.get("/sources")).json["items"] == []
    assert [
        s["name"] for s in (await office.get("/sources", headers={"X-Tenant": "acme"})).json["items"]
    ] == ["shop"]
    for name in (
        "nobody",
        "../acme",
        "",
        "A" * 80,
        "acme\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
    ):
        assert is_problem(await office.get("/sources", headers={"X-Tenant": name}), 404)


async def test_a_tenants_key_sees_and_names_no_other_tenant(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    await apply(office)
    acme = await office.key_of("acme")
    run = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]

    assert is_problem(await acme.get(f"/runs/{run}"), 404)
    assert is_problem(await acme.get(f"/runs/{run}/pages"), 404)
    assert is_problem(await acme.post(f"/runs/{run}/cancel"), 404)
    assert is_problem(await acme.post(f"/runs/{run}/rerun"), 404)
    assert is_problem(await acme.get("/sources/shop"), 404)
    assert is_problem(await acme.get("/sources/shop/streams/orders/cursor"), 404)
    assert is_problem(await acme.get("/tenants/default"), 404)
    assert is_problem(await acme.get("/keys/admin"), 404)
    assert is_problem(await acme.get("/runs", headers={"X-Tenant": "default"}), 404)
    assert (await acme.get("/runs", headers={"X-Tenant": "acme"})).status == 200
    for path in ("/runs", "/sources", "/schedules", "/endpoints", "/deliveries", "/dead-letters"):
        assert (await acme.get(path)).json["items"] == []
    assert [t["name"] for t in (await acme.get("/tenants")).json["items"]] == ["acme"]


async def test_row_level_security_holds_where_a_query_has_no_filter(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    await apply(office)
    await office.post("/runs", {"stream": "shop.orders"})

    async with office.api.as_tenant("acme") as connection:
        for table in (
            "run",
            "source",
            "stream",
            "stream_version",
            "schedule",
            "endpoint",
            "secret",
            "idempotency_key",
        ):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
        assert await connection.execute("UPDATE run SET state = 'failed'") == "UPDATE 0"
        assert await connection.execute("DELETE FROM delivery") == "DELETE 0"
    async with office.api.as_tenant("default") as connection:
        assert await connection.fetchval("SELECT count(*) FROM run") == 1


async def test_an_unknown_address_is_a_404_problem(office: Office) -> None:
    for path in ("/nothing", "/api/v1/", "/runs/x/y/z", "/runs/not-an-id", "/api", "/api/v2/runs"):
        assert is_problem(await office.get(path), 404), path


IMPOSSIBLE_IDS = (
    "/runs/ffffffff-ffff-8fff-bfff-ffffffffffff",
    "/runs/%2e%2e",
    "/runs/%00",
    "/runs/00000000-0000-8000-8000-00000000000%D9%A1",
    "/sources/SHOP",
    "/sources/..%2Fshop",
    "/keys/%F0%9F%98%80",
    "/deliveries/ffffffff-ffff-8fff-bfff-ffffffffffff",
)


async def test_an_id_that_nothing_can_have_is_404(office: Office) -> None:
    answers = {path: await office.exactly(path) for path in IMPOSSIBLE_IDS}

    assert {path for path, answer in answers.items() if not is_problem(answer, 404)} == set()


async def test_a_method_that_an_address_does_not_take_is_405_with_the_ones_it_takes(office: Office) -> None:
    answered = await office.ask("PATCH", "/runs")

    assert is_problem(answered, 405)
    assert answered.headers["Allow"] == "GET, POST, HEAD"
    assert is_problem(await office.ask("OPTIONS", "/keys/abc"), 405)


async def test_head_answers_like_get_without_a_body(office: Office) -> None:
    answered = await office.ask("HEAD", "/runs")

    assert answered.status == 200
    assert answered.body == b""
    assert (await office.ask("HEAD", "/nothing")).status == 404


async def test_a_body_over_the_limit_is_413_whether_it_says_its_length_or_not(office: Office) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 65536 + 2):
            yield b" " * 65536

    announced = await office.ask("POST", "/runs", data=io.BytesIO(b" " * (MAX_BODY_BYTES + 1)))
    assert is_problem(announced, 413)
    try:
        streamed = await office.ask(
            "POST", "/runs", data=pieces(), headers={"Content-Type": "application/json"}
        )
        assert is_problem(streamed, 413)
    except (ConnectionError, OSError):
        pass  # the server hung up while the client was still sending, as it may
    assert (await office.get("/runs")).status == 200


KINDS_OF_BODIES = (
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
    ({"Content-Type": "application/json; charset=utf-16"}, 415),
    ({"Content-Type": "application/merge-patch+json"}, 422),
)


async def test_a_body_of_another_kind_is_415(office: Office) -> None:
    for headers, status in KINDS_OF_BODIES:
        answered = await office.ask("POST", "/runs", data=b'{"stream": "a.b"}', headers=headers)
        assert is_problem(answered, status), headers


HOSTILE_BODIES = (
    (b"{", 400, None),
    (b"\xff\xfe", 400, None),
    (b'{"stream": NaN}', 400, None),
    (b"[" * 3000 + b"]" * 3000, 400, None),
    (b"[]", 422, ""),
    (b"", 422, "/stream"),
    (b"{}", 422, "/stream"),
    (b'{"stream": 7}', 422, "/stream"),
    (b'{"stream": "shop.orders", "extra": 1}', 422, "/extra"),
    (b'{"stream": "shop.orders", "mode": "fast"}', 422, "/mode"),
    (b'{"stream": "shop.none"}', 422, "/stream"),
    (b'{"stream": "shop.orders\\u0000"}', 422, "/stream"),
    (b'{"stream": "shop.orders", "parameters": {"a": ["\\ud800"]}}', 422, "/parameters/a/0"),
    (b'{"stream": "shop.orders", "parameters": {"a~/b": "\\u0000"}}', 422, "/parameters/a~0~1b"),
    (b'{"stream": "shop.orders", "parameters": {"a": 1e999999}}', 422, "/parameters/a"),
    (b'{"stream": "shop.orders", "parameters": ' + b'{"a":' * 90 + b"1" + b"}" * 90 + b"}", 422, None),
)


async def test_a_hostile_body_gets_a_problem_with_its_place(office: Office) -> None:
    await apply(office)

    for body, status, pointer in HOSTILE_BODIES:
        answered = await office.ask("POST", "/runs", data=body, headers={"Content-Type": "application/json"})
        assert is_problem(answered, status), body[:80]
        assert pointer is None or answered.pointers == [pointer], body[:80]


WRONG_PARAMETERS = (
    ("limit=0", "limit"),
    ("limit=501", "limit"),
    ("limit=x", "limit"),
    ("limit=1&limit=2", "limit"),
    ("colour=red", "colour"),
    ("state=odd", "state"),
    ("cursor=x", "cursor"),
    ("cursor=W10", "cursor"),
    ("cursor=WyJydW5zIiwiZmZmZmZmZmYtZmZmZi04ZmZmLWJmZmYtZmZmZmZmZmZmZmZmIl0", "cursor"),
    ("since=yesterday", "since"),
    ("since=0001-01-01T00:00:00%2B14:00", "since"),
    ("schedule=%00", "schedule"),
)


async def test_a_wrong_parameter_is_422_and_named(office: Office) -> None:
    for query, parameter in WRONG_PARAMETERS:
        answered = await office.exactly(f"/runs?{query}")
        assert is_problem(answered, 422), query
        assert [error["parameter"] for error in answered.json["errors"]] == [parameter], query


async def test_a_list_is_walked_by_its_token_and_by_its_link(office: Office) -> None:
    await apply(office)
    for _ in range(5):
        await office.post("/runs", {"stream": "shop.orders"})
    whole = [run["id"] for run in (await office.get("/runs")).json["items"]]

    seen, path = [], "/runs?limit=2&stream=shop.orders"
    while path is not None:
        answered = await office.get(path)
        seen += [run["id"] for run in answered.json["items"]]
        link = re.fullmatch(r"<(/[^>]+)>; rel=\"next\"", answered.headers.get("Link", ""))
        assert (link is None) == (answered.json["next"] is None)
        path = link[1] if link else None

    assert len(whole) == 5
    assert seen == whole


async def test_a_token_of_another_list_is_refused(office: Office) -> None:
    await apply(office)
    token = (await office.get("/sources/shop/streams?limit=1")).json["next"]
    assert token

    assert is_problem(await office.get(f"/runs?cursor={token}"), 422)


async def test_every_answer_forbids_sniffing_storing_and_framing(office: Office) -> None:
    for path in ("/runs", "/nothing", "/", "/docs", "/api/v1/openapi.json"):
        answered = await office.get(path)

        assert answered.headers["X-Content-Type-Options"] == "nosniff"
        assert answered.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answered.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answered.headers["Content-Security-Policy"]


async def test_while_the_database_is_away_the_api_says_503_and_when_to_ask_again(office: Office) -> None:
    await office.api.close()

    answered = await office.get("/runs")

    assert is_problem(answered, 503)
    assert int(answered.headers["Retry-After"]) > 0


async def test_a_fault_inside_is_a_500_without_its_inside_and_one_line_in_the_log(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await apply(office)
    await office.worker.execute("SELECT 1")
    async with office.api.as_tenant("default") as connection:
        await connection.execute("UPDATE schedule SET definition = '[]'")

    answered = await office.get("/schedules")

    assert is_problem(answered, 500)
    assert b"Traceback" not in answered.body
    assert b"File" not in answered.body
    assert len([record for record in caplog.records if record.name == "headwater.control"]) == 1


async def test_the_front_page_needs_no_key_and_is_a_page_for_browsers(office: Office) -> None:
    nobody = office.with_key(None)

    told = (await nobody.get("/")).json
    page = await nobody.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

    assert told["health"] == {"status": "ok", "database": "ok", "bus": "ok"}
    assert told["counts"] == {"runs": {}, "deliveries": {}, "dead_letters": 0}
    assert told["links"]["openapi"] == "/api/v1/openapi.json"
    assert page.headers["Content-Type"].startswith("text/html")
    assert b"<script" not in page.body
    assert "Accept" in page.headers["Vary"]


async def test_the_docs_page_names_every_route_and_loads_nothing(office: Office) -> None:
    page = await office.with_key(None).get("/docs")
    document = (await office.with_key(None).get("/api/v1/openapi.json")).json

    for path, methods in document["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}".encode() in page.body
    assert b"<script" not in page.body
    assert not re.search(rb"(src|href)=\"(https?:)?//", page.body)


async def test_two_bodies_at_once_do_not_mix(office: Office) -> None:
    await apply(office)

    answers = await asyncio.gather(
        *(office.post("/runs", {"stream": "shop.orders", "parameters": {"n": n}}) for n in range(10))
    )

    shown = await asyncio.gather(*(office.get(f"/runs/{answer.json['id']}") for answer in answers))
    assert [run.json["parameters"]["n"] for run in shown] == list(range(10))


async def test_that_every_connection_is_in_use_for_a_moment_is_no_reason_to_send_nobody_here(
    office: Office,
) -> None:
    async with AsyncExitStack() as held:
        for _ in range(office.api.pool.get_max_size()):
            await held.enter_async_context(office.api.connection())
        asked = asyncio.create_task(office.control.ready())

        await asyncio.wait([asked], timeout=1)

        assert asked.done()
        assert asked.result() is None


@pytest.mark.parametrize(
    ("path", "name", "says"),
    [
        ("/runs?limit=0", "limit", "must be 1 or more"),
        ("/runs?limt=5", "limt", "is not known here; did you mean `limit`?"),
        ("/runs?page=2", "page", "is not known here; there are limit, "),
        ("/runs?state=done", "state", "must be 'queued', 'running'"),
    ],
)
async def test_a_fault_of_a_parameter_is_told_in_words_of_ours_with_what_there_is(
    office: Office, path: str, name: str, says: str
) -> None:
    answered = await office.get(path)

    assert is_problem(answered, 422)
    (fault,) = answered.json["errors"]
    assert (fault["parameter"], fault["detail"][: len(says)]) == (name, says)


@pytest.mark.parametrize(
    ("path", "body", "pointer", "says"),
    [
        (
            "/keys",
            {"name": "k", "scopes": ["root"]},
            "/scopes/0",
            "must be 'read', 'run', 'write' or 'admin'",
        ),
        (
            "/tenants",
            {"name": "Bad Name"},
            "/name",
            "is not of the form that is needed; use lower-case letters",
        ),
        (
            "/runs",
            {"stream": "a.b", "parametrs": {}},
            "/parametrs",
            "is not known here; did you mean `parameters`?",
        ),
    ],
)
async def test_a_fault_of_a_body_is_told_once_and_in_words_of_ours(
    office: Office, path: str, body: dict, pointer: str, says: str
) -> None:
    answered = await office.post(path, json=body)

    assert is_problem(answered, 422)
    (fault,) = answered.json["errors"]
    assert (fault["pointer"], fault["detail"][: len(says)]) == (pointer, says)


async def test_a_body_that_is_not_json_is_told_where_it_is_not(office: Office) -> None:
    answered = await office.post("/runs", data='{"stream": }', headers={"Content-Type": "application/json"})

    assert is_problem(answered, 400)
    assert answered.json["detail"].startswith("The body is not JSON")
    assert "line 1 column 12" in answered.json["detail"]
