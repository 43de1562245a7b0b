"""What the receiver tells and keeps of requests with a token in their query, or that name a certificate."""

import json

import pytest
from tests.support.receiving import manifest, receiving
from tests.support.spine import open_spine, working
from tests.support.webhook_signer import ec_jwk, token

from headwater.model.secret import Secret
from headwater.receiver.certificates import RENEWED_S


async def test_a_token_in_the_query_is_verified_and_never_kept_or_told(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    definition = {"kind": "token", "signature": {"query_param": "token", "encoding": "utf8"}}
    endpoint = {
        "definition": definition,
        "dedupe": {"expression": "[query.token, query.id, body.id]"},
        "fields": {"id": "id", "token": "_.query.token", "of": "_.query.id"},
        "destination": {"table": "orders"},
        "publish": {"type": "query.token"},
    }
    async with open_spine(database) as spine:
        await spine.apply(manifest(**endpoint))

        async with receiving(spine) as door, working(spine, "persister"):
            answers = [
                await door.send(f"/in/default/orders?{query}", {"id": 1}, secret=None)
                for query in (
                    "token=it+is+a+secret&id=7",
                    "id=8&token=it%20is%20a%20secret",
                    "token=it+is+a+secret&token=it+is+a+secret",
                    "token=it+is+no+secret",
                )
            ]
            await spine.until("SELECT 1 FROM delivery WHERE state = 'done' HAVING count(*) = 2")

        assert [status for status, _, _ in answers] == [202, 202, 401, 401]
        rows = await spine.fetch("SELECT * FROM delivery ORDER BY receipt_id")
        assert [row["url"].partition("?")[2] for row in rows] == ["token=***&id=7", "id=8&token=***"]
        stored = await spine.rows_of("orders", "of")
        assert [(row["token"], row["of"]) for row in stored] == [("***", "7"), ("***", "8")]
        everything = [dict(row) for row in rows]
        for table in ("refusal", "outbox", "dedupe_claim", "endpoint_count"):
            everything += [dict(row) for row in await spine.fetch(f"SELECT * FROM {table}")]  # noqa: S608 - as above
        reasons = [
            row["reason"] for row in await spine.fetch("SELECT reason FROM refusal ORDER BY refused_at")
        ]
        assert reasons == ["parameter_duplicated", "mismatch"]
        for form in ("it+is+a", "it%20is%20a", "it is a"):
            assert form not in str(everything)
            assert form not in caplog.text


async def test_keys_that_a_sender_publishes_are_fetched_and_a_new_one_is_found(database: str) -> None:
    published = {"keys": [ec_jwk("one")]}
    urls: list[str] = []

    async def fetch(url: str) -> bytes:
        urls.append(url)
        return json.dumps(published).encode()

    definition = {
        "kind": "jwt-es256",
        "key": {"keys_url": "https://keys.example/set"},
        "signature": {
            "header": "Authorization",
            "prefix": "Bearer ",
            "format": "jwt",
            "aud": "us",
            "claims": {"email": "push@example"},
        },
    }

    def bearer(name: str, **claims: str) -> dict[str, str]:
        told = {"aud": "us", "email": "push@example", **claims}
        return {"Authorization": "Bearer " + token("jwt-es256", told, Secret.of("none"), name)}

    async with open_spine(database) as spine:
        await spine.apply(manifest(definition=definition, secrets=[]))

        async with receiving(spine) as door:
            certificates = door.receiver._certificates
            certificates._fetch = fetch

            async def sent(headers: dict[str, str]) -> int:
                return (await door.send("/in/default/orders", headers=headers, secret=None))[0]

            known = [await sent(bearer("one")), await sent(bearer("one", email="else@example"))]
            unknown = await sent(bearer("two"))
            published["keys"].append(ec_jwk("two"))
            too_soon = await sent(bearer("two"))
            for each in certificates._kept.values():
                object.__setattr__(each, "since", each.since - RENEWED_S)
            later = [await sent(bearer("two")), await sent(bearer("one"))]

        reasons = [
            row["reason"] for row in await spine.fetch("SELECT reason FROM refusal ORDER BY refused_at")
        ]

    assert (known, unknown, too_soon, later) == ([202, 401], 401, 401, [202, 202])
    assert urls == ["https://keys.example/set"] * 2
    assert reasons == ["claim_mismatch", "mismatch", "mismatch"]


async def test_a_refusal_tells_of_the_certificate_that_a_request_names(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.receiver.certificates.FETCHES_PER_MINUTE", 0)
    async with open_spine(database) as spine:
        await spine.apply(manifest(scheme="aws_sns", secrets=[], context={"topic_arn": "arn:aws:sns:eu:1:t"}))

        async with receiving(spine) as door:
            elsewhere, _, _ = await door.send(
                "/in/default/orders", {"SigningCertURL": "https://evil.example/a.pem"}, secret=None
            )
            away, _, _ = await door.send(
                "/in/default/orders",
                {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/a.pem"},
                secret=None,
            )

        rows = await spine.fetch("SELECT status, reason, detail FROM refusal ORDER BY refused_at, id")
        assert (elsewhere, away) == (401, 503)
        assert [tuple(row) for row in rows] == [
            (401, "certificate_elsewhere", ""),
            (503, "certificate", "too many signing certificates were asked for in a minute"),
        ]
