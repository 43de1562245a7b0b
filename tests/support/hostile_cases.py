"""The catalogue: each hostile but ordinary behaviour of an API, how it is declared, and its one right outcome."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_api import Behaviour, Fault

OFFSET: Mapping[str, Any] = {"type": "offset"}
PAGE: Mapping[str, Any] = {"type": "page", "size": 100, "size_param": "limit"}
CURSOR: Mapping[str, Any] = {"type": "cursor", "cursor_path": "next", "size_param": "limit", "size": 100}
NEXT_URL: Mapping[str, Any] = {"type": "next_url", "next_path": "next"}
LINK: Mapping[str, Any] = {"type": "link"}
KEYSET: Mapping[str, Any] = {
    "type": "keyset", "key_path": "id", "key_param": "after", "size": 100, "size_param": "limit",
}  # fmt: skip
RELAY: Mapping[str, Any] = {"type": "graphql_relay", "page_info": "data.shop.items.pageInfo"}
GRAPHQL: Mapping[str, Any] = {"graphql": {"query": "query($first: Int, $after: String) { shop { … } }"}}
EDGES = "data.shop.items.edges[].node"
WINDOW: Mapping[str, Any] = {
    "type": "window", "start": "2024-03-01T00:00:00Z", "end": "2024-04-01T00:00:00Z", "step_s": 7 * 86_400,
    "start_param": "from", "end_param": "to", "pages": {"type": "offset", "size": 20},
}  # fmt: skip
BY_CHANGE = sorted(range(230), key=lambda number: (number % 28 // 7, number))


@dataclass(frozen=True, slots=True)
class Case:
    """`ids` are the records of the right outcome, in order (None: all of the collection).

    `ends` is the stop reason, or `error:<kind>`; a walk is complete unless `ends` says otherwise.
    """

    behaviour: Behaviour
    pagination: Mapping[str, Any]
    ends: str
    ids: range | tuple[int, ...] | None = None
    warnings: frozenset[str] = frozenset()
    records: str | None = "items"
    limits: Mapping[str, Any] = field(default_factory=dict)
    requests: int | None = None
    rejected: int = 0
    waits_s: tuple[float | None, ...] = ()
    received: int | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wanted_ids(self) -> list[int]:
        return list(range(self.behaviour.count) if self.ids is None else self.ids)


_THROTTLED = json.dumps(
    {
        "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
        "extensions": {
            "cost": {
                "requestedQueryCost": 300,
                "throttleStatus": {"maximumAvailable": 1000, "currentlyAvailable": 100, "restoreRate": 50},
            }
        },
    }
)
LOOP = frozenset({"pagination_loop"})
CUT = frozenset({"limit_reached"})

_COUNTING = {
    "offset_until_empty": Case(Behaviour(), OFFSET, "empty_page", requests=4),
    "offset_exact_pages": Case(Behaviour(count=200), OFFSET, "empty_page", requests=3),
    "offset_nothing_there": Case(Behaviour(count=0), OFFSET, "empty_page", requests=1),
    "offset_server_gives_less": Case(Behaviour(cap=30), OFFSET, "empty_page", requests=9),
    "offset_null_past_end": Case(Behaviour(past_end="null"), OFFSET, "empty_page"),
    "offset_404_past_end_told": Case(
        Behaviour(count=200, past_end="404"), OFFSET | {"stop_on_status": 404}, "status_end"
    ),
    "offset_404_past_short_page": Case(Behaviour(past_end="404"), OFFSET, "status_end"),
    "offset_404_past_full_page": Case(
        Behaviour(count=200, past_end="404"), OFFSET, "error:http_404", ids=range(200)
    ),
    "offset_204_past_end": Case(Behaviour(past_end="204"), OFFSET, "empty_page"),
    "offset_total_number": Case(
        Behaviour(total="number", count=200), OFFSET | {"total": "total"}, "total_reached", requests=2
    ),
    "offset_total_text": Case(
        Behaviour(total="text", cap=70), OFFSET | {"total": "total"}, "total_reached", requests=4
    ),
    "offset_total_float": Case(Behaviour(total="float"), OFFSET | {"total": "total"}, "total_reached"),
    "offset_total_zero_is_none": Case(Behaviour(total="zero"), OFFSET | {"total": "total"}, "empty_page"),
    "offset_total_minus_one": Case(Behaviour(total="minus"), OFFSET | {"total": "total"}, "empty_page"),
    "offset_total_null": Case(Behaviour(total="null"), OFFSET | {"total": "total"}, "empty_page"),
    "offset_total_first_page_only": Case(
        Behaviour(total="first_page"), OFFSET | {"total": "total"}, "total_reached", requests=3
    ),
    "offset_total_grows": Case(Behaviour(total="grows"), OFFSET | {"total": "total"}, "total_reached"),
    "offset_total_shrinks": Case(Behaviour(total="shrinks"), OFFSET | {"total": "total"}, "total_reached"),
    "offset_total_in_header": Case(
        Behaviour(total="text", totals_in_headers=True),
        OFFSET | {"total_header": "X-Total"},
        "total_reached",
        requests=3,
    ),
    "offset_total_too_high": Case(
        Behaviour(total="high"),
        OFFSET | {"total": "total"},
        "empty_page",
        warnings=frozenset({"total_not_met"}),
    ),
    "offset_hole_with_total": Case(
        Behaviour(total="number", holes=(2,)),
        OFFSET | {"total": "total"},
        "total_reached",
        ids=(*range(100), *range(200, 230)),
    ),
    "offset_has_more": Case(
        Behaviour(has_more="bool"), OFFSET | {"has_more": "has_more"}, "has_more_false", requests=3
    ),
    "offset_has_more_text": Case(
        Behaviour(has_more="text"), OFFSET | {"has_more": "has_more"}, "has_more_false", requests=3
    ),
    "offset_has_more_number": Case(
        Behaviour(has_more="number"), OFFSET | {"has_more": "has_more"}, "has_more_false", requests=3
    ),
    "offset_hole_with_has_more": Case(
        Behaviour(has_more="bool", holes=(2,)),
        OFFSET | {"has_more": "has_more"},
        "has_more_false",
        ids=(*range(100), *range(200, 230)),
    ),
    "offset_has_more_for_ever": Case(
        Behaviour(has_more="always"),
        OFFSET | {"has_more": "has_more", "max_empty_pages": 5},
        "loop",
        warnings=LOOP,
        requests=8,
    ),
    "offset_ignored": Case(
        Behaviour(same_page=True), OFFSET, "loop", ids=range(100), warnings=LOOP, requests=2, received=200
    ),
    "offset_ignored_although_the_total_seems_reached": Case(
        Behaviour(same_page=True, total="number", count=150),
        OFFSET | {"total": "total"},
        "loop",
        ids=range(100),
        warnings=LOOP,
    ),
    "offset_short_page_promised": Case(
        Behaviour(cap=50), OFFSET | {"end_on_short_page": True}, "short_page", requests=5
    ),
    "page_until_empty": Case(Behaviour(style="page"), PAGE, "empty_page", requests=4),
    "page_server_gives_less": Case(Behaviour(style="page", cap=30), PAGE, "empty_page", requests=9),
    "page_thin_in_the_middle": Case(
        Behaviour(style="page", thin=(2,)), PAGE, "empty_page", ids=(*range(150), *range(200, 230))
    ),
    "page_hole_with_total": Case(
        Behaviour(style="page", holes=(2,), total="number"),
        PAGE | {"total": "total"},
        "empty_page",
        ids=(*range(100), *range(200, 230)),
    ),
    "page_hole_with_total_pages": Case(
        Behaviour(style="page", holes=(2,), total_pages="text"),
        PAGE | {"total_pages": "pages"},
        "total_reached",
        ids=(*range(100), *range(200, 230)),
    ),
    "page_total_pages": Case(
        Behaviour(style="page", total_pages="number"),
        PAGE | {"total_pages": "pages"},
        "total_reached",
        requests=3,
    ),
    "page_total_pages_first_only": Case(
        Behaviour(style="page", total_pages="first_page"), PAGE | {"total_pages": "pages"}, "total_reached"
    ),
    "page_shows_last_again": Case(
        Behaviour(style="page", past_end="last"), PAGE, "short_page", warnings=LOOP, received=260
    ),
    "page_shows_full_last_again": Case(
        Behaviour(style="page", count=200, past_end="last"), PAGE, "loop", warnings=LOOP, received=300
    ),
    "page_begins_again": Case(
        Behaviour(style="page", past_end="first"), PAGE, "loop", warnings=LOOP, received=330
    ),
    "page_same_for_ever": Case(
        Behaviour(style="page", same_page=True), PAGE, "loop", ids=range(100), warnings=LOOP, requests=2
    ),
    "page_204_past_end": Case(Behaviour(style="page", past_end="204"), PAGE, "empty_page"),
    "page_list_absent_past_end": Case(
        Behaviour(style="page", past_end="absent"), PAGE, "error:records_missing"
    ),
}

_FOLLOWING = {
    "cursor_null_end": Case(Behaviour(style="cursor"), CURSOR, "cursor_end", requests=3),
    "cursor_absent_end": Case(Behaviour(style="cursor", next="absent"), CURSOR, "cursor_end"),
    "cursor_empty_end": Case(Behaviour(style="cursor", next="empty"), CURSOR, "cursor_end"),
    "cursor_false_end": Case(Behaviour(style="cursor", next="false"), CURSOR, "cursor_end"),
    "cursor_number": Case(Behaviour(style="cursor", next="number"), CURSOR, "cursor_end"),
    "cursor_zero_is_a_cursor": Case(Behaviour(style="cursor", next="zero"), CURSOR, "cursor_end", requests=3),
    "cursor_in_header": Case(
        Behaviour(style="cursor", next_in_header=True),
        {"type": "cursor", "cursor_header": "x-next"},
        "cursor_end",
    ),
    "cursor_hole_in_the_middle": Case(
        Behaviour(style="cursor", holes=(2,)), CURSOR, "cursor_end", ids=(*range(100), *range(200, 230))
    ),
    "cursor_self": Case(
        Behaviour(style="cursor", next="self"), CURSOR, "loop", ids=range(200), warnings=LOOP, requests=2
    ),
    "cursor_has_more_false_first": Case(
        Behaviour(style="cursor", has_more="text"), CURSOR | {"has_more": "has_more"}, "has_more_false"
    ),
    "cursor_path_wrong": Case(
        Behaviour(style="cursor"),
        CURSOR | {"cursor_path": "meta.next"},
        "cursor_end",
        ids=range(100),
        warnings=frozenset({"cursor_absent"}),
    ),
    "cursor_object": Case(
        Behaviour(style="cursor", next="object"),
        CURSOR,
        "error",
        ids=range(100),
        warnings=frozenset({"next_unusable"}),
    ),
    "cursor_expires": Case(
        Behaviour(style="cursor", faults=(Fault(2, 410, 99),)),
        CURSOR,
        "error:token_refused",
        ids=range(100),
    ),
    "next_url_plain": Case(Behaviour(style="next_url"), NEXT_URL, "cursor_end", requests=3),
    "next_url_relative": Case(Behaviour(style="next_url", next="relative"), NEXT_URL, "cursor_end"),
    "next_url_empty_end": Case(Behaviour(style="next_url", next="empty"), NEXT_URL, "cursor_end"),
    "next_url_self": Case(
        Behaviour(style="next_url", next="self"), NEXT_URL, "loop", ids=range(200), warnings=LOOP
    ),
    "link_header": Case(Behaviour(style="link"), LINK, "cursor_end", requests=3),
    "link_bare_list": Case(Behaviour(style="link", envelope=""), LINK, "cursor_end", records=None),
    "link_self": Case(Behaviour(style="link", next="self"), LINK, "loop", ids=range(200), warnings=LOOP),
}

_KEYED = {
    "keyset_until_empty": Case(Behaviour(style="keyset"), KEYSET, "empty_page", requests=4),
    "keyset_has_more": Case(
        Behaviour(style="keyset", has_more="bool"),
        KEYSET | {"has_more": "has_more"},
        "has_more_false",
        requests=3,
    ),
    "keyset_server_gives_less": Case(Behaviour(style="keyset", cap=30), KEYSET, "empty_page"),
    "keyset_ignored": Case(
        Behaviour(style="keyset", same_page=True), KEYSET, "loop", ids=range(100), warnings=LOOP
    ),
    "keyset_key_path_wrong": Case(
        Behaviour(style="keyset"),
        KEYSET | {"key_path": "ident"},
        "error",
        ids=range(100),
        warnings=frozenset({"next_unusable"}),
    ),
    "relay": Case(
        Behaviour(style="relay"), RELAY, "has_more_false", records=EDGES, request=GRAPHQL, requests=3
    ),
    "relay_page_info_wrong": Case(
        Behaviour(style="relay"),
        RELAY | {"page_info": "data.items.pageInfo"},
        "cursor_end",
        ids=range(100),
        records=EDGES,
        request=GRAPHQL,
        warnings=frozenset({"cursor_absent"}),
    ),
    "graphql_error_in_200": Case(
        Behaviour(
            style="relay", faults=(Fault(2, 200, 9, {}, '{"data": null, "errors": [{"message": "no"}]}'),)
        ),
        RELAY,
        "error:graphql_error",
        ids=range(100),
        records=EDGES,
        request=GRAPHQL,
    ),
    "graphql_throttled": Case(
        Behaviour(style="relay", faults=(Fault(2, 200, 1, {}, _THROTTLED),)),
        RELAY,
        "has_more_false",
        records=EDGES,
        request=GRAPHQL,
        waits_s=(4.0,),
    ),
    "window_slices": Case(Behaviour(style="window"), WINDOW, "empty_page", ids=tuple(BY_CHANGE), requests=18),
    "window_404_for_an_empty_slice": Case(
        Behaviour(style="window", past_end="404"),
        WINDOW
        | {"start": "2024-02-01T00:00:00Z", "pages": {"type": "offset", "size": 100, "stop_on_status": 404}},
        "error:http_404",
        ids=(),
    ),
    "window_404_for_an_empty_slice_by_rule": Case(
        Behaviour(style="window", past_end="404"),
        WINDOW | {"start": "2024-02-02T00:00:00Z", "step_s": 14 * 86_400},
        "empty_page",
        ids=tuple(sorted(range(230), key=lambda number: (number % 28 // 14, number))),
        errors={"status": {"404": "skip"}},
    ),
}

_PLACES = {
    "post_json": Case(
        Behaviour(),
        OFFSET | {"in": "json", "offset_param": "page.offset", "size_param": "page.limit"},
        "empty_page",
        request={"method": "POST", "json": {"filter": {"kind": "all"}}},
    ),
    "in_headers": Case(
        Behaviour(),
        OFFSET | {"in": "header", "offset_param": "X-Offset", "size_param": "X-Limit"},
        "empty_page",
    ),
    "cursor_object_in_json": Case(
        Behaviour(style="cursor", next="object"),
        CURSOR | {"in": "json"},
        "cursor_end",
        request={"method": "POST", "json": {}},
    ),
}

_HIDDEN = {
    "error_in_200": Case(
        Behaviour(faults=(Fault(2, 200, 9, {}, '{"items": [], "error": "db down"}'),)),
        OFFSET,
        "error:error_in_answer",
        ids=range(100),
        errors={"if": "error", "message": "error"},
    ),
    "error_in_200_again": Case(
        Behaviour(faults=(Fault(2, 200, 2, {}, '{"items": [], "ok": "false"}'),)),
        OFFSET,
        "empty_page",
        errors={"if": "ok == 'false'", "retry": True},
        waits_s=(None, None),
    ),
    "status_409_means_again": Case(
        Behaviour(faults=(Fault(2, 409, 1, {"Retry-After": "3"}),)),
        OFFSET,
        "empty_page",
        errors={"status": {"409": "retry"}},
        waits_s=(3.0,),
    ),
    "status_500_means_fail": Case(
        Behaviour(faults=(Fault(2, 500, 9),)),
        OFFSET,
        "error:http_500",
        ids=range(100),
        errors={"status": {"500": "fail"}},
        requests=2,
    ),
    "status_416_means_end": Case(
        Behaviour(count=200, faults=(Fault(3, 416, 9),)),
        OFFSET,
        "status_end",
        errors={"status": {"416": "end"}},
    ),
}

_BODIES = {
    "body_byte_order_mark": Case(Behaviour(body="bom"), OFFSET, "empty_page"),
    "body_text_plain": Case(Behaviour(body="text"), OFFSET, "empty_page"),
    "body_latin1": Case(Behaviour(body="latin1"), OFFSET, "empty_page"),
    "body_utf8_labelled_latin1": Case(Behaviour(body="latin1_label"), OFFSET, "empty_page"),
    "body_utf16": Case(Behaviour(body="utf16"), OFFSET, "empty_page"),
    "body_false_gzip_label": Case(Behaviour(body="false_gzip"), OFFSET, "empty_page"),
    "body_deep_path": Case(
        Behaviour(envelope="data.result.items"), OFFSET, "empty_page", records="data.result.items"
    ),
    "body_last_record_alone": Case(
        Behaviour(count=201, last_alone=True),
        OFFSET,
        "empty_page",
        warnings=frozenset({"single_record"}),
    ),
    "body_path_never_matches": Case(Behaviour(), OFFSET, "error:records_missing", ids=(), records="rows"),
    "body_envelope_without_path": Case(Behaviour(), OFFSET, "error:records_missing", ids=(), records=None),
    "body_some_are_no_objects": Case(
        Behaviour(records="mixed"),
        OFFSET,
        "empty_page",
        ids=tuple(n for n in range(230) if n % 50 != 7),
        rejected=5,
        received=230,
    ),
    "body_big_numbers": Case(Behaviour(records="big"), OFFSET, "empty_page"),
}

_FAULTS = {
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
}

_LIMITS = {
    "limit_records": Case(
        Behaviour(), OFFSET, "limit", ids=range(150), warnings=CUT, limits={"max_records": 150}, requests=2
    ),
    "limit_pages": Case(
        Behaviour(), OFFSET, "limit", ids=range(200), warnings=CUT, limits={"max_pages": 2}, requests=2
    ),
    "limit_met_exactly_at_the_end": Case(
        Behaviour(total="number"), OFFSET | {"total": "total"}, "total_reached", limits={"max_records": 230}
    ),
}

CASES: Mapping[str, Case] = _COUNTING | _FOLLOWING | _KEYED | _PLACES | _HIDDEN | _BODIES | _FAULTS | _LIMITS
