"""Handshakes over real HTTP: answered by preset or by choice, secrets that providers hand over kept sealed."""

import hashlib
import hmac
import time

import pytest
from tests.support.metrics import counted
from tests.support.receiving import SECRET, manifest, queued, receiving
from tests.support.spine import open_spine

from headwater.store import endpoints

ORDERS = "/in/default/orders"


async def test_slack_is_answered_with_its_challenge_when_it_signed(database: str) -> None:
    body = b'{"type": "url_verification", "challenge": "abc"}'
    at = str(int(time.time()))
    right = "v0=" + hmac.new(SECRET.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256).hexdigest()
    async with open_spine(database) as spine:
        await spine.apply(manifest(scheme="slack"))

        async with receiving(spine) as door:
            signed = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": right}
            status, headers, told = await door.send(ORDERS, body, secret=None, headers=signed)
            wrong, _, nothing = await door.send(
                ORDERS, body, secret=None, headers={**signed, "X-Slack-Signature": "v0=" + "0" * 64}
            )

        assert (status, told) == (200, b"abc")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert wrong == 401
        assert b"abc" not in nothing
        assert await queued(spine) == 0


async def test_a_get_with_the_right_verify_token_is_answered_and_a_wrong_one_is_not(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(scheme="meta", context={"verify_token": "right"}))

        async with receiving(spine) as door:

            async def ask(query: str) -> tuple[int, bytes]:
                status, _, body = await door.send(f"{ORDERS}?{query}", b"", method="GET", secret=None)
                return status, body

            right = await ask("hub.mode=subscribe&hub.challenge=12&hub.verify_token=right")
            wrong = await ask("hub.mode=subscribe&hub.challenge=12&hub.verify_token=wrong")
            other = await ask("a=b")

        assert right == (200, b"12")
        assert wrong[0] == 403
        assert b"12" not in wrong[1]
        assert other[0] == 405
        counts = {
            outcome: counted(spine.metrics, "headwater_webhooks_total", outcome=outcome)
            for outcome in ("handshake", "refused", "method")
        }
        assert counts == {"handshake": 1, "refused": 1, "method": 1}


@pytest.mark.parametrize(
    ("handshake", "request_", "status", "answer"),
    [
        ("dropbox_challenge", ("GET", "?challenge=x", {}, b""), 200, b"x"),
        ("ms_graph_validation_token", ("POST", "?validationToken=a%20b", {}, b""), 200, b"a b"),
        (
            "okta_verification_challenge",
            ("GET", "", {"X-Okta-Verification-Challenge": "c"}, b""),
            200,
            b'{"verification":"c"}',
        ),
        ("trello_head", ("HEAD", "", {}, b""), 200, b""),
        (
            "cloudevents_abuse_protection",
            ("OPTIONS", "", {"WebHook-Request-Origin": "e.example"}, b""),
            200,
            b"",
        ),
        ("monday_challenge", ("POST", "", {}, b'{"challenge": "m"}'), 200, b'{"challenge":"m"}'),
        ("woocommerce_ping", ("POST", "", {}, b"webhook_id=12"), 200, b""),
        (
            {"when": "body.ping", "answer": "{pong: body.ping}", "signed": False},
            ("POST", "", {}, b'{"ping": true}'),
            200,
            b'{"pong":true}',
        ),
    ],
)
async def test_a_handshake_chosen_on_an_endpoint_is_answered(
    database: str, handshake: object, request_: tuple, status: int, answer: bytes
) -> None:
    method, query, headers, body = request_
    async with open_spine(database) as spine:
        await spine.apply(manifest(handshake=handshake))

        async with receiving(spine) as door:
            found = await door.send(ORDERS + query, body, method=method, headers=headers, secret=None)
            delivery, _, _ = await door.send(ORDERS, b'{"a": 1}')

        assert (found[0], found[2]) == (status, answer)
        assert delivery == 202
        if method == "OPTIONS":
            assert found[1]["WebHook-Allowed-Origin"] == "e.example"
        counts = {
            row["outcome"]: row["request_count"] for row in await spine.fetch("SELECT * FROM endpoint_count")
        }
        assert counts == {"handshake": 1, "accepted": 1}


async def test_adobe_sign_gets_its_id_back_on_questions_and_on_deliveries(database: str) -> None:
    headers = {"X-AdobeSign-ClientId": "c1"}
    async with open_spine(database) as spine:
        await spine.apply(manifest(handshake="adobe_sign_client_id"))

        async with receiving(spine) as door:
            question = await door.send(ORDERS, b"", method="GET", headers=headers, secret=None)
            delivery = await door.send(ORDERS, b"{}", headers=headers)
            unsigned = await door.send(ORDERS, b"{}", headers=headers, secret=None)

        assert [
            (each[0], each[1].get("X-AdobeSign-ClientId")) for each in (question, delivery, unsigned)
        ] == [
            (200, "c1"),
            (200, "c1"),
            (401, None),
        ]
        assert await queued(spine) == 1


async def test_asana_hands_its_secret_over_once_and_signs_with_it_from_then_on(database: str) -> None:
    def signed(body: bytes, secret: str) -> dict[str, str]:
        return {"X-Hook-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}

    async with open_spine(database) as spine:
        await spine.apply(manifest(scheme="asana", secrets=[]))

        async with receiving(spine) as door:
            before, _, _ = await door.send(ORDERS, b"{}", secret=None, headers=signed(b"{}", "handed over"))
            first = await door.send(ORDERS, b"", secret=None, headers={"X-Hook-Secret": "handed over"})
            at_once, _, _ = await door.send(ORDERS, b"{}", secret=None, headers=signed(b"{}", "handed over"))
            second = await door.send(ORDERS, b"", secret=None, headers={"X-Hook-Secret": "thief"})
            thief, _, _ = await door.send(ORDERS, b"{}", secret=None, headers=signed(b"{}", "thief"))

        assert before == 401
        assert (first[0], first[1]["X-Hook-Secret"]) == (200, "handed over")
        assert at_once == 202
        assert second[0] in (401, 409)
        assert thief == 401
        (row,) = await spine.fetch("SELECT * FROM secret WHERE name = 'endpoint/orders/handshake'")
        assert b"handed over" not in bytes(row["sealed"])


async def test_an_operator_sees_notions_token_once_and_may_let_the_endpoint_wait_again(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(scheme="notion", secrets=[]))

        async with receiving(spine) as door:
            status, _, _ = await door.send(
                ORDERS,
                b'{"verification_token": "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}',
                secret=None,
            )
            async with spine.api.as_tenant("default") as connection:
                shown = await endpoints.show_handshake_secret(connection, spine.keyring, "default", "orders")
                again = await endpoints.show_handshake_secret(connection, spine.keyring, "default", "orders")
                state = await endpoints.handshake(connection, "default", "orders")
            async with spine.api.as_tenant("default") as connection:
                assert await endpoints.forget_handshake(connection, "default", "orders")
            async with spine.api.as_tenant("default") as connection:
                forgotten = await endpoints.handshake(connection, "default", "orders")

        assert status == 200
        assert shown is not None
        assert shown.text() == "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"
        assert again is None
        assert state is not None
        assert forgotten is None
        assert await spine.fetch("SELECT 1 FROM secret") == []


async def test_xero_gets_its_refusals_without_a_body(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(scheme="xero"))

        async with receiving(spine) as door:
            status, headers, body = await door.send(
                ORDERS, b'{"events": []}', secret=None, headers={"x-xero-signature": "AAAA"}
            )

        assert (status, body) == (401, b"")
        assert "Set-Cookie" not in headers
