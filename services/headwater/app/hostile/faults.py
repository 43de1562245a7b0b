"""Refusals, and answers that break."""

from collections.abc import Mapping

from headwater.app.hostile.behaviour import Behaviour, Fault
from headwater.app.hostile.case import (
    BEARER,
    OFFSET,
    REFRESH,
    Case,
)


def _once(fault: Fault, wait_s: float | None = None) -> Case:
    """A fault that passes: nothing is lost, and we wait as long as the API asked for."""
    return Case(Behaviour(faults=(fault,)), OFFSET, "empty_page", requests=5, waits_s=(wait_s,))


FAULTS: Mapping[str, Case] = {
    "fault_503_once": Case(
        Behaviour(faults=(Fault(2, 503),)), OFFSET, "empty_page", requests=5, waits_s=(None,)
    ),
    "fault_429_retry_after": Case(
        Behaviour(faults=(Fault(2, 429, 2, {"Retry-After": "7"}),)), OFFSET, "empty_page", waits_s=(7.0, 7.0)
    ),
    "fault_403_is_a_limit": Case(
        Behaviour(faults=(Fault(2, 403, 1, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}),)),
        OFFSET,
        "empty_page",
        waits_s=(60.0,),
    ),
    "fault_403_is_a_403": Case(
        Behaviour(faults=(Fault(2, 403, 9),)), OFFSET, "error:http_403", ids=range(100), requests=2
    ),
    "fault_500_for_ever": Case(
        Behaviour(faults=(Fault(3, 500, 99),)),
        OFFSET,
        "error:http_500",
        ids=range(200),
        waits_s=(None, None, None),
    ),
    "fault_cut_body": Case(Behaviour(faults=(Fault(2, "cut"),)), OFFSET, "empty_page", waits_s=(None,)),
    "fault_reset": Case(Behaviour(faults=(Fault(2, "reset"),)), OFFSET, "empty_page", waits_s=(None,)),
    "fault_html_instead": Case(
        Behaviour(faults=(Fault(2, 200, 9, {}, "<html>Please log in</html>"),)),
        OFFSET,
        "error:undecodable",
        ids=range(100),
    ),
    "fault_empty_body": Case(
        Behaviour(faults=(Fault(1, 200, 9, {}, ""),)), OFFSET, "error:undecodable", ids=()
    ),
    "fault_404_at_once": Case(
        Behaviour(faults=(Fault(1, 404, 9),)), OFFSET | {"stop_on_status": [404]}, "error:http_404", ids=()
    ),
    "fault_429_retry_after_a_date": _once(Fault(2, 429, 1, {"Retry-After": "@date+2"}), 2.0),
    "fault_429_says_nothing": _once(Fault(2, 429)),
    "fault_429_epoch_seconds": _once(
        Fault(2, 429, 1, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "@epoch+2"}), 2.0
    ),
    "fault_429_epoch_milliseconds": _once(
        Fault(2, 429, 1, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "@epoch_ms+2"}), 2.0
    ),
    "fault_429_ietf_fields": _once(Fault(2, 429, 1, {"RateLimit": "limit=10, remaining=0, reset=2"}), 2.0),
    "fault_429_ietf_structured": _once(Fault(2, 429, 1, {"RateLimit": '"default";r=0;t=2'}), 2.0),
    "fault_429_retry_after_nonsense": _once(Fault(2, 429, 1, {"Retry-After": "soon"})),
    "fault_429_retry_after_below_zero": _once(Fault(2, 429, 1, {"Retry-After": "-5"})),
    "fault_429_retry_after_with_a_unit": _once(Fault(2, 429, 1, {"Retry-After": "2 seconds"}), 2.0),
    "fault_429_retry_after_an_epoch": _once(Fault(2, 429, 1, {"Retry-After": "@epoch+2"}), 2.0),
    "fault_429_retry_after_milliseconds": _once(Fault(2, 429, 1, {"retry-after-ms": "2500"}), 2.5),
    "fault_429_retry_after_of_its_own": _once(Fault(2, 429, 1, {"X-RateLimit-Retry-After": "2"}), 2.0),
    "fault_429_retry_after_in_the_body": _once(
        Fault(2, 429, 1, {}, '{"message": "slow down", "retry_after": 2.5, "global": false}'), 2.5
    ),
    "fault_429_of_one_of_two_windows": _once(
        Fault(2, 429, 1, {"RateLimit": '"day";r=900;t=40000, "burst";r=0;t=2'}), 2.0
    ),
    "fault_429_of_one_of_two_windows_in_a_list": _once(
        Fault(2, 429, 1, {"X-RateLimit-Remaining": "0, 400", "X-RateLimit-Reset": "2, 3000"}), 2.0
    ),
    "fault_429_until_a_time_that_is_over": _once(
        Fault(2, 429, 1, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "@epoch+-50"}), 0.0
    ),
    "fault_403_quota_exceeded": _once(
        Fault(2, 403, 1, {}, '{"error": {"errors": [{"reason": "quotaExceeded"}]}}')
    ),
    "fault_420": _once(Fault(2, 420)),
    "fault_423_retry_after": _once(Fault(2, 423, 1, {"Retry-After": "2"}), 2.0),
    "fault_403_retry_after": _once(Fault(2, 403, 1, {"Retry-After": "2"}), 2.0),
    "fault_503_retry_after": _once(Fault(2, 503, 1, {"Retry-After": "2"}), 2.0),
    "fault_408_once": _once(Fault(2, 408)),
    "fault_425_once": _once(Fault(2, 425)),
    "fault_502_with_a_page_of_html": _once(Fault(2, 502, 1, {}, "<html>Bad Gateway</html>")),
    "fault_first_page_503_twice": Case(
        Behaviour(faults=(Fault(1, 503, 2),)), OFFSET, "empty_page", waits_s=(None, None)
    ),
    "fault_418": Case(Behaviour(faults=(Fault(2, 418, 9),)), OFFSET, "error:http_418", ids=range(100)),
    "fault_401": Case(
        Behaviour(needs="Bearer another"), OFFSET, "error:unauthorized", ids=(), source=BEARER, requests=1
    ),
    "limit_told_ahead_of_a_refusal": Case(
        Behaviour(headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}), OFFSET, "empty_page"
    ),
    "fault_cut_chunks": _once(Fault(2, "cut_chunked")),
    "fault_chunk_that_is_none": _once(Fault(2, "bad_chunk")),
    "fault_length_too_short": _once(Fault(2, "short_length")),
    "fault_length_beyond_all_bounds": Case(
        Behaviour(faults=(Fault(2, "huge_length", 9),)), OFFSET, "error:too_large", ids=range(100)
    ),
    "fault_no_http_at_all": _once(Fault(2, "garbage")),
    "fault_header_too_long": _once(Fault(2, "long_header")),
    "fault_too_many_headers": _once(Fault(2, "many_headers")),
    "fault_silence": Case(
        Behaviour(faults=(Fault(2, "silent"),)),
        OFFSET,
        "empty_page",
        waits_s=(None,),
        source={"timeout_s": 1},
    ),
    "fault_body_that_drips": Case(
        Behaviour(faults=(Fault(2, "drip"),)), OFFSET, "empty_page", waits_s=(None,), source={"timeout_s": 1}
    ),
    "redirect_once": Case(
        Behaviour(faults=(Fault(2, "redirect 307 ?offset=100&limit=100"),)), OFFSET, "empty_page"
    ),
    "redirect_for_ever": Case(
        Behaviour(faults=(Fault(2, "redirect 302 ?offset=100&limit=100", 99),)),
        OFFSET,
        "error:redirect",
        ids=range(100),
    ),
    "redirect_without_a_target": Case(
        Behaviour(faults=(Fault(2, "redirect 302", 9),)), OFFSET, "error:http_302", ids=range(100)
    ),
    "redirect_to_what_is_no_address": Case(
        Behaviour(faults=(Fault(2, "redirect 302 javascript:alert(1)", 9),)),
        OFFSET,
        "error:redirect",
        ids=range(100),
    ),
    "redirect_to_an_address_inside": Case(
        Behaviour(faults=(Fault(2, "redirect 302 http://169.254.169.254/latest/meta-data", 9),)),
        OFFSET,
        "error:refused_address",
        ids=range(100),
    ),
    "redirect_of_credentials_to_another_host": Case(
        Behaviour(
            needs="Bearer very-secret",
            faults=(Fault(2, "redirect 302 {elsewhere}/items", 9),),
        ),
        OFFSET,
        "error:unauthorized",
        ids=range(100),
        source=BEARER,
    ),
    "token_used_up_after_each_page": Case(
        Behaviour(uses=1), OFFSET, "empty_page", source=REFRESH, whole=True
    ),
    "refresh_tokens_that_rotate": Case(
        Behaviour(uses=1, rotates=True), OFFSET, "empty_page", source=REFRESH, whole=True
    ),
    "token_used_up_says_403_and_invalid_token": Case(
        Behaviour(uses=1, refusal=403, challenge='Bearer realm="api", error="invalid_token"'),
        OFFSET,
        "empty_page",
        source=REFRESH,
        whole=True,
    ),
    "token_used_up_says_403": Case(
        Behaviour(uses=1, refusal=403),
        OFFSET,
        "empty_page",
        source={"auth": REFRESH["auth"] | {"refresh_on_status": 403}},
        whole=True,
    ),
    "token_used_up_and_a_403_means_what_it_says": Case(
        Behaviour(uses=2, refusal=403, challenge='Bearer error="insufficient_scope"'),
        OFFSET,
        "error:http_403",
        ids=range(200),
        source=REFRESH,
        whole=True,
    ),
    "token_refused_although_new": Case(
        Behaviour(uses=1, needs="Bearer other"),
        OFFSET,
        "error:unauthorized",
        ids=(),
        source=REFRESH,
        whole=True,
    ),
}
