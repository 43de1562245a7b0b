"""One valid and one invalid example of each message; `make_schemas.py` writes them beside the schemas."""

from typing import Any

_RUN = "0198d9a2-4c00-8a1b-9c2d-3e4f5a6b7c8d"
_VERSION = "6f1c2b3a-4d5e-8f60-a1b2-c3d4e5f60718"
_PAGE = {
    "run_id": _RUN,
    "attempt": 1,
    "tenant": "default",
    "stream_version": _VERSION,
    "walk": 0,
    "number": 2,
}
_TOKEN = {"place": {"page": 2}, "began_s": 1767225600.0, "seen": 100}
_AT = "2026-01-01T00:00:00.000000+00:00"

# type → (valid, invalid, what is wrong with the second)
EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "run.due": (
        {"run_id": _RUN, "attempt": 1, "tenant": "default", "stream_version": _VERSION},
        {"run_id": _RUN, "attempt": 1, "tenant": "default"},
        "the stream's version is missing",
    ),
    "page.due": (
        {**_PAGE, "token": _TOKEN},
        {**_PAGE, "token": "2"},
        "a token is an object",
    ),
    "batch.ready": (
        {
            **_PAGE,
            "token": _TOKEN,
            "next_token": None,
            "stop_reason": "has_more_false",
            "warnings": [],
            "requests": 1,
            "rejected": [{"position": 1, "reason": "no object"}],
            "received": 2,
            "status": 200,
            "body_bytes": 64,
            "fetched_at": _AT,
            "started_at": _AT,
            "highest": None,
            "records": [{"id": 1}, {"id": 2}],
            "payload_id": None,
        },
        {**_PAGE, "token": _TOKEN, "fetched_at": _AT, "started_at": _AT, "records": {"id": 1}},
        "records are a list",
    ),
    "run.close": (
        {"run_id": _RUN, "attempt": 1, "tenant": "default"},
        {"run_id": _RUN, "attempt": "first", "tenant": "default"},
        "an attempt is a number",
    ),
    "run.finished": (
        {
            "run_id": _RUN,
            "tenant": "default",
            "stream": "shop.orders",
            "schedule": "nightly",
            "due_at": "2026-01-01T01:00:00.000000+00:00",
            "attempt": 1,
            "trigger": "schedule",
            "mode": "auto",
            "state": "partial",
            "stop_reason": "limit",
            "warnings": ["limit_reached"],
            "counts": {"pages": 3, "received": 300, "inserted": 290, "rejected": 10},
            "error": None,
            "started_at": "2026-01-01T01:00:00.250000+00:00",
            "finished_at": "2026-01-01T01:00:09.750000+00:00",
        },
        {
            "run_id": _RUN,
            "tenant": "default",
            "stream": "shop.orders",
            "due_at": "2026-01-01T01:00:00.000000+00:00",
            "attempt": 1,
            "trigger": "schedule",
            "mode": "auto",
            "state": "running",
            "finished_at": "2026-01-01T01:00:09.750000+00:00",
        },
        "running is no final state",
    ),
    "run.request": (
        {"stream": "shop.orders", "mode": "full", "force": False, "parameters": {"region": "eu"}},
        {"stream": "shop.orders", "tenant": "another"},
        "the tenant is the sender's, never the message's",
    ),
    "webhook.received": (
        {
            "tenant": "default",
            "endpoint": "payments",
            "delivery-id": "5f0c1d2e-3b4a-8596-b7c8-d9e0f1a2b3c4",
            "receipt": (
                '{"received_at":"2026-01-01T00:00:00.123+00:00","method":"POST",'
                '"url":"https://example.com/in/default/payments","remote":"192.0.2.7",'
                '"headers":[["Content-Type","application/json"]],'
                '"verification":{"scheme":"stripe","secret":0,"timestamp":1767225600},'
                '"type":"charge.succeeded","key":"evt_1","dedupe_s":604800}'
            ),
        },
        {
            "tenant": "default",
            "endpoint": "payments",
            "delivery-id": "5f0c1d2e-3b4a-8596-b7c8-d9e0f1a2b3c4",
            "receipt": {"received_at": "2026-01-01T00:00:00.123+00:00", "method": "POST"},
        },
        "headers are texts",
    ),
}
