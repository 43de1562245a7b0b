"""APIs whose answers lead on: cursors, next links, keys, GraphQL, slices of time; and where parameters go."""

import json
from collections.abc import Mapping

from headwater.app.hostile.behaviour import Behaviour, Fault
from headwater.app.hostile.case import (
    BEARER,
    BY_CHANGE,
    CURSOR,
    EDGES,
    GRAPHQL,
    KEYSET,
    LINK,
    LOOP,
    NEXT_URL,
    OFFSET,
    RELAY,
    WINDOW,
    Case,
)

_LIMITED = json.dumps({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]})
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
FOLLOWING: Mapping[str, Case] = {
    "cursor_null_end": Case(Behaviour(style="cursor"), CURSOR, "cursor_end", requests=3),
    "cursor_absent_end": Case(Behaviour(style="cursor", next="absent"), CURSOR, "cursor_end"),
    "cursor_empty_end": Case(Behaviour(style="cursor", next="empty"), CURSOR, "cursor_end"),
    "cursor_false_end": Case(Behaviour(style="cursor", next="false"), CURSOR, "cursor_end"),
    "cursor_text_null_end": Case(
        Behaviour(style="cursor", next="text_null"), CURSOR, "cursor_end", requests=3
    ),
    "cursor_text_false_end": Case(
        Behaviour(style="cursor", next="text_false"), CURSOR, "cursor_end", requests=3
    ),
    "cursor_of_two_lines_for_a_header": Case(
        Behaviour(faults=(Fault(1, 200, 9, {}, '{"items": [{"id": 0}], "next": "a\\r\\nX-Evil: 1"}'),)),
        CURSOR | {"in": "header", "cursor_param": "X-Cursor", "size_param": "X-Limit"},
        "error",
        ids=range(1),
        warnings=frozenset({"next_unusable"}),
    ),
    "cursor_self_at_the_total": Case(
        Behaviour(style="cursor", next="self", total="number", count=200),
        CURSOR | {"total": "total"},
        "total_reached",
        requests=2,
    ),
    "cursor_number": Case(Behaviour(style="cursor", next="number"), CURSOR, "cursor_end"),
    "cursor_of_two_values": Case(
        Behaviour(style="cursor", next="pair"),
        {"type": "cursor", "cursor_params": {"cursor": "next", "mark": "mark"}},
        "cursor_end",
        requests=3,
    ),
    "cursor_the_same_on_all_pages": Case(
        Behaviour(style="cursor", next="same", total="number"),
        CURSOR | {"total": "total", "keeps_place": True},
        "total_reached",
        requests=3,
    ),
    "cursor_the_same_on_all_pages_until_one_is_empty": Case(
        Behaviour(style="cursor", next="same", total="number", count=200),
        CURSOR | {"total": "total", "keeps_place": True},
        "total_reached",
        requests=3,
    ),
    "cursor_the_same_and_not_all_came": Case(
        Behaviour(style="cursor", next="same", total="high"),
        CURSOR | {"total": "total", "keeps_place": True},
        "empty_page",
        warnings=frozenset({"total_not_met"}),
        requests=4,
    ),
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
        "error:path_unmatched",
        ids=(),
    ),
    "cursor_no_row_can_hold": Case(
        Behaviour(style="cursor", next="nul"),
        CURSOR,
        "error",
        ids=range(100),
        warnings=frozenset({"next_unusable"}),
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
    "cursor_refused_400": Case(
        Behaviour(style="cursor", faults=(Fault(2, 400, 99),)), CURSOR, "error:token_refused", ids=range(100)
    ),
    "cursor_refused_404": Case(
        Behaviour(style="cursor", faults=(Fault(3, 404, 99),)), CURSOR, "error:token_refused", ids=range(200)
    ),
    "cursor_same_page_for_ever": Case(
        Behaviour(style="cursor", same_page=True), CURSOR, "loop", ids=range(100), warnings=LOOP
    ),
    "next_url_cycle": Case(
        Behaviour(style="next_url", count=500, next="cycle"),
        NEXT_URL,
        "loop",
        ids=range(300),
        warnings=LOOP,
        whole=True,
    ),
    "next_url_of_another_host": Case(
        Behaviour(style="next_url", next="foreign", needs="Bearer very-secret"),
        NEXT_URL,
        "error",
        ids=range(100),
        warnings=frozenset({"foreign_link"}),
        source=BEARER,
        requests=1,
    ),
    "link_of_another_host": Case(
        Behaviour(style="link", next="foreign", needs="Bearer very-secret"),
        LINK,
        "error",
        ids=range(100),
        warnings=frozenset({"foreign_link"}),
        source=BEARER,
        requests=1,
    ),
    "next_url_plain": Case(Behaviour(style="next_url"), NEXT_URL, "cursor_end", requests=3),
    "next_url_relative": Case(Behaviour(style="next_url", next="relative"), NEXT_URL, "cursor_end"),
    "next_url_templated": Case(
        Behaviour(style="next_url", next="templated"), NEXT_URL, "cursor_end", requests=3
    ),
    "next_url_empty_end": Case(Behaviour(style="next_url", next="empty"), NEXT_URL, "cursor_end"),
    "next_url_self": Case(
        Behaviour(style="next_url", next="self"), NEXT_URL, "loop", ids=range(200), warnings=LOOP
    ),
    "link_header": Case(Behaviour(style="link"), LINK, "cursor_end", requests=3),
    "link_in_single_quotes": Case(
        Behaviour(style="link", next="single_quotes"), LINK, "cursor_end", requests=3
    ),
    "link_without_results": Case(Behaviour(style="link", next="no_results"), LINK, "cursor_end", requests=3),
    "link_relative": Case(Behaviour(style="link", next="relative"), LINK, "cursor_end", requests=3),
    "link_without_brackets": Case(
        Behaviour(style="link", next="no_brackets"),
        LINK,
        "error",
        ids=range(100),
        warnings=frozenset({"next_unusable"}),
    ),
    "link_bare_list": Case(Behaviour(style="link", envelope=""), LINK, "cursor_end", records=None),
    "link_self": Case(Behaviour(style="link", next="self"), LINK, "loop", ids=range(200), warnings=LOOP),
}

KEYED: Mapping[str, Case] = {
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
    "keyset_begins_with_the_last_record": Case(
        Behaviour(style="keyset", inclusive=True), KEYSET, "short_page", requests=4, received=233
    ),
    "keyset_begins_with_the_last_record_and_names_a_total": Case(
        Behaviour(style="keyset", inclusive=True, total="number", count=200),
        KEYSET | {"total": "total"},
        "total_reached",
        requests=3,
        received=202,
    ),
    "keyset_begins_with_the_only_record": Case(
        Behaviour(style="keyset", inclusive=True, count=1), KEYSET, "short_page", requests=2, received=2
    ),
    "keyset_of_twins": Case(
        Behaviour(style="keyset", cap=15, count=60, records="twins", twins=True),
        KEYSET | {"key_path": "pair"},
        "empty_page",
        ids=tuple(number for number in range(60) if number not in {15, 31, 47}),
        warnings=frozenset({"keyset_ties"}),
    ),
    "keyset_key_path_wrong": Case(
        Behaviour(style="keyset"),
        KEYSET | {"key_path": "ident"},
        "error:path_unmatched",
        ids=(),
    ),
    "relay": Case(
        Behaviour(style="relay"), RELAY, "has_more_false", records=EDGES, request=GRAPHQL, requests=3
    ),
    "relay_page_info_wrong": Case(
        Behaviour(style="relay"),
        RELAY | {"page_info": "data.items.pageInfo"},
        "error:path_unmatched",
        ids=(),
        records=EDGES,
        request=GRAPHQL,
    ),
    "graphql_error_that_is_no_list": Case(
        Behaviour(style="relay", faults=(Fault(2, 200, 9, {}, '{"errors": {"message": "no"}}'),)),
        RELAY,
        "error:graphql_error",
        ids=range(100),
        records=EDGES,
        request=GRAPHQL,
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
    "graphql_errors_beside_records": Case(
        Behaviour(style="relay", errors_on=(2,)),
        RELAY,
        "error:graphql_error",
        records=EDGES,
        request=GRAPHQL,
        ids=range(100),
    ),
    "graphql_errors_beside_records_that_are_kept": Case(
        Behaviour(style="relay", errors_on=(2,)),
        RELAY,
        "has_more_false",
        records=EDGES,
        request={"graphql": GRAPHQL["graphql"] | {"partial": "keep"}},
        warnings=frozenset({"graphql_partial"}),
    ),
    "graphql_errors_and_no_record_to_keep": Case(
        Behaviour(style="relay", count=0, errors_on=(1,)),
        RELAY,
        "error:graphql_error",
        records=EDGES,
        request={"graphql": GRAPHQL["graphql"] | {"partial": "keep"}},
    ),
    "graphql_throttled": Case(
        Behaviour(style="relay", faults=(Fault(2, 200, 1, {}, _THROTTLED),)),
        RELAY,
        "has_more_false",
        records=EDGES,
        request=GRAPHQL,
        waits_s=(4.0,),
    ),
    "graphql_throttled_by_its_headers": Case(
        Behaviour(
            style="relay",
            faults=(
                Fault(2, 200, 1, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "@epoch+2"}, _LIMITED),
            ),
        ),
        RELAY,
        "has_more_false",
        records=EDGES,
        request=GRAPHQL,
        waits_s=(2.0,),
    ),
    "window_slices": Case(Behaviour(style="window"), WINDOW, "empty_page", ids=tuple(BY_CHANGE), requests=18),
    "window_404_for_an_empty_slice": Case(
        Behaviour(style="window", past_end="404"),
        WINDOW
        | {"start": "2024-02-01T00:00:00Z", "pages": {"type": "offset", "size": 100, "stop_on_status": 404}},
        "empty_page",
        ids=tuple(sorted(range(230), key=lambda number: ((number % 28 + 1) // 7, number))),
    ),
    "window_404_for_an_empty_slice_by_rule": Case(
        Behaviour(style="window", past_end="404"),
        WINDOW | {"start": "2024-02-02T00:00:00Z", "step_s": 14 * 86_400},
        "empty_page",
        ids=tuple(sorted(range(230), key=lambda number: (number % 28 // 14, number))),
        errors={"status": {"404": "skip"}},
    ),
}

PLACES: Mapping[str, Case] = {
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
    "cursor_alone": Case(
        Behaviour(style="cursor", alone=True),
        CURSOR | {"replaces": "all"},
        "cursor_end",
        request={"params": {"kind": "all"}},
    ),
    "in_a_range": Case(
        Behaviour(status=206),
        OFFSET,
        "empty_page",
        request={"headers": {"Range": "items={walk.offset}-{walk.last}"}},
    ),
    "in_a_form": Case(
        Behaviour(),
        OFFSET,
        "empty_page",
        request={
            "method": "POST",
            "form": {"offset": "{walk.offset}", "limit": "{walk.size}", "kind": "all"},
        },
    ),
    "in_xml": Case(
        Behaviour(),
        OFFSET,
        "empty_page",
        request={
            "method": "POST",
            "text": "<list><offset>{walk.offset}</offset><limit>{walk.size}</limit></list>",
        },
    ),
    "in_a_query_language": Case(
        Behaviour(),
        OFFSET,
        "empty_page",
        request={"params": {"q": "select * from items offset {walk.offset} limit {walk.size}"}},
    ),
    "window_capped": Case(
        Behaviour(style="window", total="slice", most=40),
        {**WINDOW, "capped_at": 40, "pages": {"type": "offset", "size": 20, "total": "total"}},
        "total_reached",
        ids=tuple(
            sorted(range(230), key=lambda one: (one % 28 // 7, one % 28 % 7 >= 4, one))
        ),  # halves of weeks
    ),
}
