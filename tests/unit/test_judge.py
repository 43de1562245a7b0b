"""What a status means, and how long an API asks us to wait."""

from datetime import UTC, datetime

import pytest

from headwater.model.errors import SourceError
from headwater.model.http import Response
from headwater.model.secret import Secret
from headwater.plugins.walk.judge import Verdict, judge
from headwater.plugins.walk.waits import MAX_WAIT_S, pause_s

NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())


def _answer(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Response:
    return Response(status, tuple((headers or {}).items()), body, "http://api.example/items")


def _fault(status: int, headers: dict[str, str] | None = None, **options: object) -> SourceError:
    with pytest.raises(SourceError) as caught:
        judge(_answer(status, headers), NOW, **options)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 203, 204, 206])
def test_a_success_goes_on(status: int) -> None:
    assert judge(_answer(status), NOW) is Verdict.OK


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (302, "http_302", False),
        (400, "http_400", False),
        (401, "unauthorized", False),
        (402, "http_402", False),
        (403, "http_403", False),
        (404, "http_404", False),
        (408, "http_408", True),
        (420, "http_420", True),
        (410, "http_410", False),
        (422, "http_422", False),
        (425, "http_425", True),
        (429, "rate_limited", True),
        (500, "http_500", True),
        (501, "http_501", True),
        (502, "http_502", True),
        (503, "http_503", True),
        (504, "http_504", True),
        (520, "http_520", True),
        (529, "http_529", True),
    ],
)
def test_a_refusal_has_one_class(status: int, kind: str, retryable: bool) -> None:
    fault = _fault(status)

    assert (fault.kind, fault.retryable, fault.delay_s) == (kind, retryable, None)


@pytest.mark.parametrize("status", [404, 204, 416])
def test_a_stop_status_is_the_end(status: int) -> None:
    assert judge(_answer(status), NOW, stop_on_status=(404, 204, 416)) is Verdict.END


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_token_the_api_no_longer_takes_asks_for_a_new_beginning(status: int) -> None:
    fault = _fault(status, follows_token=True)

    assert (fault.kind, fault.restart, fault.retryable) == ("token_refused", True, False)


_WAITS = [
    ({"Retry-After": "120"}, 120.0),
    ({"Retry-After": "0"}, 0.0),
    ({"Retry-After": "1.5"}, 1.5),
    ({"Retry-After": " 30 "}, 30.0),
    ({"Retry-After": "Wed, 01 May 2024 12:01:00 GMT"}, 60.0),
    ({"Retry-After": "Wed, 01 May 2024 11:00:00 GMT"}, 0.0),
    ({"Retry-After": "Wednesday, 01-May-24 12:01:00 GMT"}, 60.0),
    ({"Retry-After": "2024-05-01T12:01:00Z"}, 60.0),
    # by the server's own clock, which is an hour late
    ({"Retry-After": "Wed, 01 May 2024 11:01:00 GMT", "Date": "Wed, 01 May 2024 11:00:00 GMT"}, 60.0),
    ({"Retry-After": "-5"}, None),
    ({"Retry-After": "soon"}, None),
    ({"Retry-After": "1e9"}, None),
    ({"Retry-After": "٣"}, None),
    ({"Retry-After": "99999999999999999"}, MAX_WAIT_S),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "45"}, 45.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH + 45)}, 45.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str((EPOCH + 45) * 1000)}, 45.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH - 45)}, 0.0),
    ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2024-05-01T12:00:45Z"}, 45.0),
    ({"X-RateLimit-Reset": "45"}, 45.0),
    # a limit of which something is left is not why we were refused
    ({"X-RateLimit-Remaining": "57", "X-RateLimit-Reset": str(EPOCH + 3000)}, None),
    ({"Retry-After": "5", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3000"}, 5.0),
    ({"RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, 12.0),
    ({"RateLimit": "limit=100, remaining=0, reset=12"}, 12.0),
    ({"RateLimit": '"default";r=0;t=12'}, 12.0),
    ({"RateLimit": '"default";r=3;t=12'}, None),
    ({"RateLimit": '"day";r=900;t=40000, "burst";r=0;t=3'}, 3.0),
    ({"RateLimit": '"burst";r=0;t=1, "minute";r=0;t=40'}, 40.0),
    ({"RateLimit": '"burst";r=2;t=1, "minute";r=9;t=40'}, None),
    ({"X-RateLimit-Remaining": "0, 400", "X-RateLimit-Reset": "2, 3000"}, 2.0),
    ({"X-RateLimit-Remaining": "30, 0", "X-RateLimit-Reset": "2, 3000"}, 3000.0),
    ({"Retry-After": "3s"}, 3.0),
    ({"Retry-After": "3 seconds"}, 3.0),
    ({"Retry-After": "1500 ms"}, 1.5),
    ({"Retry-After": "3 days"}, None),
    ({"Retry-After": str(EPOCH + 45)}, 45.0),
    ({"Retry-After": str((EPOCH + 45) * 1000)}, 45.0),
    ({"retry-after-ms": "2500"}, 2.5),
    ({"x-ms-retry-after-ms": "2500", "Retry-After": "2"}, 2.5),
    ({"X-RateLimit-Retry-After": "4"}, 4.0),
    ({"X-RateLimit-Remaining": "0"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "delay_s"), _WAITS)
def test_a_429_waits_as_long_as_it_asks(headers: dict[str, str], delay_s: float | None) -> None:
    fault = _fault(429, headers)

    assert (fault.kind, fault.delay_s) == ("rate_limited", delay_s)


def test_of_several_retry_after_the_longest_counts() -> None:
    answer = Response(429, (("Retry-After", "1"), ("Retry-After", "3")), b"", "http://api.example/items")

    with pytest.raises(SourceError) as raised:
        judge(answer, NOW)

    assert raised.value.delay_s == 3.0


@pytest.mark.parametrize(
    ("body", "delay_s"),
    [
        (b'{"message": "limited", "retry_after": 2.5, "global": false}', 2.5),
        (b'{"ok": false, "error_code": 429, "parameters": {"retry_after": 35}}', 35.0),
        (b'{"errors": [{"extensions": {"retry_in_seconds": "9"}}]}', 9.0),
        (b'{"retry_after": "2024-05-01"}', None),
        (b'{"retry_after": -1}', None),
        (b'{"retry_after": null}', None),
    ],
)
def test_a_429_may_say_in_its_body_when_to_come_again(body: bytes, delay_s: float | None) -> None:
    with pytest.raises(SourceError) as raised:
        judge(_answer(429, body=body), NOW)

    assert raised.value.delay_s == delay_s


@pytest.mark.parametrize(
    ("status", "retryable"), [(409, True), (413, True), (423, True), (430, True), (404, False)]
)
def test_a_refusal_that_passes_says_so_by_retry_after(status: int, retryable: bool) -> None:
    fault = _fault(status, {"Retry-After": "9"})

    assert (fault.kind, fault.retryable) == (f"http_{status}", retryable)
    assert not _fault(status).retryable


@pytest.mark.parametrize(
    ("headers", "kind", "delay_s"),
    [
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}, "rate_limited", 60.0),
        ({"x-ratelimit-remaining": "0"}, "rate_limited", None),
        ({"Retry-After": "30"}, "rate_limited", 30.0),
        ({"RateLimit": '"hour";r=0;t=9'}, "rate_limited", 9.0),
        ({"X-RateLimit-Remaining": "4999"}, "http_403", None),
        ({}, "http_403", None),
    ],
)
def test_a_403_is_a_rate_limit_only_where_it_says_so(
    headers: dict[str, str], kind: str, delay_s: float | None
) -> None:
    fault = _fault(403, headers)

    assert (fault.kind, fault.retryable, fault.delay_s) == (kind, kind == "rate_limited", delay_s)


def test_a_502_does_not_wait_for_the_reset_of_a_limit_that_is_not_used_up() -> None:
    fault = _fault(502, {"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": str(EPOCH + 3000)})

    assert (fault.retryable, fault.delay_s) == (True, None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH + 20)}, 20.0),
        ({"RateLimit": '"default";r=0;t=7'}, 7.0),
        ({"RateLimit": '"hour";r=500;t=3000, "burst";r=0;t=7'}, 7.0),
        ({"X-RateLimit-Remaining": "0, 400", "X-RateLimit-Reset": "7, 3000"}, 7.0),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": str(EPOCH + 20)}, 0.0),
        ({"X-RateLimit-Remaining": "0"}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_served_answer_may_ask_for_a_pause(headers: dict[str, str], seconds: float) -> None:
    assert pause_s(_answer(200, headers), NOW) == seconds


def test_a_refusal_keeps_a_short_masked_sample() -> None:
    body = b'{"error": "key sk-12345678 is blocked"}\n' + b"x" * 5000
    with pytest.raises(SourceError) as caught:
        judge(_answer(400, body=body), NOW, secrets={"KEY": Secret.of("sk-12345678")})

    assert caught.value.sample is not None
    assert caught.value.sample.startswith('{"error": "key *** is blocked"} xxx')
    assert len(caught.value.sample) <= 201
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"message": "API rate limit exceeded"}',
        b'{"error": {"reason": "userRateLimitExceeded"}}',
        b'{"reason": "quotaExceeded"}',
    ],
)
def test_a_403_that_says_so_is_a_rate_limit(body: bytes) -> None:
    with pytest.raises(SourceError) as raised:
        judge(_answer(403, body=body), NOW)

    assert (raised.value.kind, raised.value.retryable, raised.value.delay_s) == ("rate_limited", True, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"errors": [{"message": "no such field"}]}', "no such field"),
        (b'{"error": {"code": 7, "message": "bad thing s3cret"}}', "bad thing ***"),
        (b"plain words", "plain words"),
    ],
)
def test_an_error_holds_what_the_answer_says_without_secrets(body: bytes, said: str) -> None:
    with pytest.raises(SourceError) as raised:
        judge(_answer(400, body=body), NOW, is_later=True, secrets={"key": Secret.of("s3cret")})

    assert raised.value.message == (
        "the API answered with status 400: if it means the end of the pages, set pagination.stop_on_status: 400; "
        f"it says: {said}"
    )


@pytest.mark.parametrize("body", [b"<html>x</html>", b"", b"x" * 1000, b'{"id": 7}', b"[]"])
def test_an_answer_without_words_is_not_quoted(body: bytes) -> None:
    with pytest.raises(SourceError) as raised:
        judge(_answer(400, body=body), NOW)

    assert "says" not in raised.value.message
