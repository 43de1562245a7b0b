"""The receiver's policy over real HTTP: who may send what, how much of it, and what is answered."""

import asyncio
import gzip
import hmac
import json
import zlib
from uuid import UUID

import pytest
from tests.support.metrics import counted
from tests.support.receiving import SECRET, manifest, queued, receiving, signature
from tests.support.spine import open_spine, working

from headwater.receiver.service import Place


async def test_a_signed_webhook_is_queued_and_answered_with_its_id(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            status, headers, body = await door.send("/in/default/orders", {"n": 1})

        assert (status, headers["Content-Type"]) == (202, "application/json")
        assert UUID(json.loads(body)["id"])
        assert await queued(spine) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/in/default/nothing",
        "/in/nobody/orders",
        "/in/default/or%00ders",
        "/in/default/orders%0a",
        "/in/default/..",
        "/in/default/%2e%2e",
    ],
)
async def test_what_is_no_endpoint_is_not_found(database: str, path: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            status, _, _ = await door.send(path)

        assert status == 404
        assert await queued(spine) == 0


async def test_only_the_methods_of_the_endpoint_are_accepted(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(methods=["PUT"]))

        async with receiving(spine) as door:
            put, _, _ = await door.send("/in/default/orders", method="PUT")
            post, headers, _ = await door.send("/in/default/orders")
            head, _, _ = await door.send("/in/default/orders", method="HEAD")

        assert (put, post, head) == (202, 405, 405)
        assert headers["Allow"] == "PUT"


async def test_a_body_over_the_endpoints_cap_is_refused_whether_its_length_is_told_or_not(
    database: str,
) -> None:
    async def pieces():
        for _ in range(20):
            yield b"x" * 100

    async with open_spine(database) as spine:
        await spine.apply(manifest(limits={"body_bytes": 1000}))

        async with receiving(spine) as door:
            at_cap, _, _ = await door.send("/in/default/orders", b"x" * 1000)
            told, _, _ = await door.send("/in/default/orders", b"x" * 1001)
            async with door.session.post(door.base + "/in/default/orders", data=pieces()) as answer:
                untold = answer.status

        assert (at_cap, told, untold) == (202, 413, 413)
        assert await queued(spine) == 1


async def test_compressed_bodies_are_refused_unless_the_endpoint_takes_them(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            status, headers, _ = await door.send(
                "/in/default/orders", gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}
            )

        assert status == 415
        assert headers["Accept-Encoding"] == "identity"


async def test_a_compressed_body_is_kept_as_it_was_signed_and_read_behind_its_encoding(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(limits={"compressed": True}, destination={"table": "orders"}))
        sent = gzip.compress(b'{"n": 5}')

        async with receiving(spine) as door, working(spine, "persister"):
            status, _, _ = await door.send("/in/default/orders", sent, headers={"Content-Encoding": "gzip"})
            row = await spine.until("SELECT * FROM delivery")

        assert (status, row["state"], bytes(row["body"])) == (202, "done", sent)
        assert [each["n"] for each in await spine.rows_of("orders", "n")] == [5]


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b"\0" * 5_000_000, mtime=0), "gzip", 413),
        (zlib.compress(b"\0" * 5_000_000), "deflate", 413),
        (b"this is no gzip", "gzip", 400),
        (gzip.compress(b"x" * 1000, mtime=0)[:-12], "gzip", 400),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip", 400),
        (b"{}", "br", 415),
        (b"{}", "gzip, gzip", 415),
    ],
)
async def test_bombs_and_damaged_compression_are_refused(
    database: str, body: bytes, encoding: str, status: int
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(limits={"compressed": True, "body_bytes": 1_000_000}))

        async with receiving(spine) as door:
            found, _, _ = await door.send("/in/default/orders", body, headers={"Content-Encoding": encoding})

        assert found == status
        assert await queued(spine) == 0


async def test_senders_outside_the_allowed_addresses_are_refused(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(allow=["192.0.2.0/24"]))

        async with receiving(spine) as door:
            status, _, _ = await door.send("/in/default/orders", headers={"X-Forwarded-For": "192.0.2.7"})

        assert status == 403
        assert await queued(spine) == 0


async def test_a_trusted_proxy_says_where_its_sender_is(database: str) -> None:
    place = Place("http://127.0.0.1", trusted_proxies=("127.0.0.0/8", "10.0.0.0/8"))
    cases = {
        "192.0.2.7": 202,
        "6.6.6.6, 192.0.2.7, 10.1.2.3": 202,
        "192.0.2.7, 6.6.6.6": 403,
        "192.0.2.7, junk": 403,
        "": 403,
    }
    async with open_spine(database) as spine:
        await spine.apply(manifest(allow=["192.0.2.0/24"]))

        async with receiving(spine, place) as door:
            found = {
                forwarded: (await door.send("/in/default/orders", headers={"X-Forwarded-For": forwarded}))[0]
                for forwarded in cases
            }

        assert found == cases


async def test_a_rate_is_answered_with_when_to_come_again_and_strangers_do_not_use_it_up(
    database: str,
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(limits={"rate": {"requests": 2, "per_s": 600}}))

        async with receiving(spine) as door:
            strangers = {(await door.send("/in/default/orders", secret="wrong"))[0] for _ in range(5)}
            first = [(await door.send("/in/default/orders"))[0] for _ in range(2)]
            status, headers, _ = await door.send("/in/default/orders")

        assert strangers == {401}
        assert (first, status) == ([202, 202], 429)
        assert 1 <= int(headers["Retry-After"]) <= 300


async def test_the_answer_to_a_delivery_is_the_one_that_was_asked_for(database: str) -> None:
    respond = {"status": 200, "headers": {"X-Kind": "thanks"}, "body": "got {delivery_id}"}
    async with open_spine(database) as spine:
        await spine.apply(manifest(respond=respond, dedupe={"header": "X-Id"}))

        async with receiving(spine) as door:
            status, headers, body = await door.send("/in/default/orders", headers={"X-Id": "a"})
            again = await door.send("/in/default/orders", headers={"X-Id": "a"})

        assert (status, headers["X-Kind"]) == (200, "thanks")
        assert headers["Content-Type"].startswith("text/plain")
        assert UUID(body.removeprefix(b"got ").decode())
        assert again[2] == body


@pytest.mark.parametrize(
    ("respond", "expected"),
    [
        ({"status": 204}, (204, b"")),
        ({"status": 205}, (205, b"")),
        ({"status": 200, "body": {"ok": True, "id": "{delivery_id}"}}, (200, None)),
        ({"body": ""}, (202, b"")),
    ],
)
async def test_answers_of_each_form(database: str, respond: dict, expected: tuple) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(respond=respond))

        async with receiving(spine) as door:
            status, _, body = await door.send("/in/default/orders")

        assert status == expected[0]
        if expected[1] is None:
            told = json.loads(body)
            assert told["ok"] is True
            assert UUID(told["id"])
        else:
            assert body == expected[1]


async def test_junk_signatures_are_401_and_nothing_is_queued(database: str) -> None:
    cases = [
        "",
        "sha256=",
        "sha256=zz",
        "sha256=" + "0" * 64,
        "ü",
        "sha256=" + "0" * 4000,
        "=",
        "sha1=" + "0" * 40,
    ]
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            found = {
                (
                    await door.send(
                        "/in/default/orders", b"{}", secret=None, headers={"X-Hub-Signature-256": case}
                    )
                )[0]
                for case in cases
            }
            missing, _, told = await door.send("/in/default/orders", secret=None)

        assert found == {401}
        assert missing == 401
        assert b"missing" not in told
        assert await queued(spine) == 0


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf{}", b"\xff\xfe", b"\x00", b"null", b"[" * 5000])
async def test_any_bytes_that_are_signed_are_accepted_whatever_they_are(database: str, body: bytes) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door, working(spine, "persister"):
            status, _, _ = await door.send("/in/default/orders", body)
            row = await spine.until("SELECT body, state FROM delivery")

        assert (status, bytes(row["body"]), row["state"]) == (202, body, "done")


async def test_keys_of_every_place_merge_deliveries(database: str) -> None:
    cases = {
        "header": ({"header": "X-Id"}, {"X-Id": "7"}, b"{}"),
        "path": ({"path": "event.id"}, {}, b'{"event": {"id": 7}}'),
        "expression": ({"expression": "join('-', [body.a, query.b])"}, {}, b'{"a": "1"}'),
        "body": ({"body": True}, {}, b'{"same": 1}'),
    }
    async with open_spine(database) as spine:
        for dedupe, headers, body in cases.values():
            await spine.apply(manifest(dedupe=dedupe))
            async with receiving(spine) as door:
                ids = {
                    json.loads((await door.send("/in/default/orders?b=2", body, headers=headers))[2])["id"]
                    for _ in range(2)
                }
            assert len(ids) == 1, dedupe

        await spine.apply(manifest(dedupe="none"))
        async with receiving(spine) as door:
            ids = {json.loads((await door.send("/in/default/orders", b"{}"))[2])["id"] for _ in range(2)}
        assert len(ids) == 2


async def test_refusals_are_told_with_their_reason_and_never_with_a_secret(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            await door.send(
                "/in/default/orders?token=hidden",
                b"a body",
                secret="wrong",
                headers={"Authorization": "hidden"},
            )
            await door.send("/in/default/orders", method="PATCH")
            for _ in range(30):
                await door.send("/in/default/orders", secret=None)

        rows = await spine.fetch("SELECT * FROM refusal ORDER BY refused_at, id")
        assert len(rows) == 12  # the first ten of a reason
        assert [(row["status"], row["reason"]) for row in rows[:3]] == [
            (401, "mismatch"),
            (405, "method"),
            (401, "header_missing"),
        ]
        first = rows[0]
        assert (first["path"], first["body_bytes"]) == ("/in/default/orders", 6)
        assert ["Authorization", 6] in first["headers"]
        assert "hidden" not in str(dict(first))
        assert signature(b"a body", SECRET).removeprefix("sha256=") not in str(dict(first))
        counts = await spine.fetch("SELECT outcome, request_count FROM endpoint_count")
        assert {row["outcome"]: row["request_count"] for row in counts} == {
            "refused:mismatch": 1,
            "refused:method": 1,
            "refused:header_missing": 30,
        }
        for reason, count in (("mismatch", 1), ("method", 1), ("header_missing", 30)):
            assert counted(spine.metrics, "headwater_webhooks_refused_total", reason=reason) == count
        assert counted(spine.metrics, "headwater_webhooks_verified_total") == 0


async def test_a_token_is_verified_and_not_kept(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(scheme="gitlab_token"))

        async with receiving(spine) as door, working(spine, "persister"):
            for more in ({}, {"TE": "trailers"}):  # the short way, and the long one
                status, _, _ = await door.send(
                    "/in/default/orders", secret=None, headers={"X-Gitlab-Token": SECRET, **more}
                )
                assert status == 202
            await spine.until("SELECT 1 FROM delivery HAVING count(*) = 2")
            assert door.short_count == 1

        rows = await spine.fetch("SELECT * FROM delivery")
        assert [["X-Gitlab-Token", "***"] in row["headers"] for row in rows] == [True, True]
        assert SECRET not in str([dict(row) for row in rows])


async def test_a_configuration_change_reaches_the_receiver_without_a_restart(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            assert (await door.send("/in/default/orders", secret="another"))[0] == 401
            await spine.apply(manifest(secrets=["another"]))
            async with asyncio.timeout(5):
                while (await door.send("/in/default/orders", secret="another"))[0] != 202:
                    await asyncio.sleep(0.02)

            assert door.receiver.facts()["endpoints"] == 1


async def test_the_first_endpoint_is_served_as_soon_as_it_is_there(database: str) -> None:
    async with open_spine(database) as spine, receiving(spine) as door:
        await spine.apply(manifest())

        status, _, _ = await door.send("/in/default/orders")

    assert status == 202


async def test_a_public_url_counts_without_the_slash_at_its_end(database: str) -> None:
    definition = {"signature": {"header": "X-Signature"}, "signed": "{url} {body}"}
    signed = hmac.new(SECRET.encode(), b"https://hooks.example.com/in/default/orders?a=1 {}", "sha256")
    async with open_spine(database) as spine:
        await spine.apply(manifest(definition=definition, public_url="https://hooks.example.com/"))

        async with receiving(spine) as door:
            headers = {"X-Signature": signed.hexdigest()}
            status, _, _ = await door.send("/in/default/orders?a=1", b"{}", headers=headers)

    assert status == 202


async def test_what_is_counted_is_there_before_the_first_request(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine), working(spine, "persister"):
            for outcome in ("queued", "spooled", "handshake", "refused"):
                assert counted(spine.metrics, "headwater_webhooks_total", outcome=outcome) == 0
            for reason in ("mismatch", "header_missing", "timestamp_too_old"):
                assert counted(spine.metrics, "headwater_webhooks_refused_total", reason=reason) == 0
            for state in ("done", "filtered", "dead", "duplicate"):
                assert counted(spine.metrics, "headwater_deliveries_total", state=state) == 0
