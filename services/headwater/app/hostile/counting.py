"""APIs whose pages are counted: offsets and page numbers, totals, what comes behind the end."""

from collections.abc import Mapping

from headwater.app.hostile.behaviour import Behaviour, Fault
from headwater.app.hostile.case import (
    LOOP,
    OFFSET,
    PAGE,
    Case,
)

COUNTING: Mapping[str, Case] = {
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
    "offset_false_past_end": Case(Behaviour(past_end="false"), OFFSET, "empty_page", requests=4),
    "offset_total_zero_and_no_list": Case(
        Behaviour(faults=(Fault(1, 200, 9, {}, '{"total": 0}'),)),
        OFFSET | {"total": "total"},
        "total_reached",
        ids=(),
    ),
    "offset_total_grows": Case(Behaviour(total="grows"), OFFSET | {"total": "total"}, "total_reached"),
    "offset_total_shrinks": Case(
        Behaviour(total="shrinks"),
        OFFSET | {"total": "total"},
        "empty_page",
        warnings=frozenset({"total_shrank"}),
        requests=4,
    ),
    "offset_total_is_what_is_left": Case(
        Behaviour(total="left"),
        OFFSET | {"total": "total"},
        "total_reached",
        warnings=frozenset({"total_shrank"}),
        requests=3,
    ),
    "offset_total_is_the_pages_own": Case(
        Behaviour(total="own"),
        OFFSET | {"total": "total"},
        "empty_page",
        warnings=frozenset({"total_exceeded"}),
        requests=4,
    ),
    "offset_total_is_the_pages_own_and_pages_are_few": Case(
        Behaviour(total="own", count=100), OFFSET | {"total": "total"}, "total_reached", requests=2
    ),
    "offset_total_is_the_pages_own_then_404": Case(
        Behaviour(total="own", count=100, past_end="404"), OFFSET | {"total": "total"}, "total_reached"
    ),
    "offset_total_is_the_pages_own_then_again": Case(
        Behaviour(total="own", count=100, past_end="first"),
        OFFSET | {"total": "total"},
        "total_reached",
        warnings=LOOP,
        received=200,
    ),
    "offset_total_too_low": Case(
        Behaviour(total="low"),
        OFFSET | {"total": "total"},
        "empty_page",
        warnings=frozenset({"total_exceeded"}),
    ),
    "offset_total_of_one_page_and_has_more": Case(
        Behaviour(total="own", has_more="bool"),
        OFFSET | {"total": "total", "has_more": "has_more"},
        "has_more_false",
        warnings=frozenset({"total_exceeded"}),
        requests=3,
    ),
    "offset_total_with_commas": Case(
        Behaviour(total="commas", count=1230), OFFSET | {"total": "total"}, "total_reached", requests=13
    ),
    "offset_total_in_content_range": Case(
        Behaviour(total="range", totals_in_headers=True, status=206),
        OFFSET | {"total_header": "X-Total"},
        "total_reached",
        requests=3,
    ),
    "offset_counts_from_1": Case(
        Behaviour(base=1, count=201, total="number"), OFFSET | {"start": 1, "total": "total"}, "total_reached"
    ),
    "offset_total_too_high_then_404": Case(
        Behaviour(total="high", past_end="404"),
        OFFSET | {"total": "total"},
        "status_end",
        warnings=frozenset({"total_not_met"}),
    ),
    "offset_404_before_the_total": Case(
        Behaviour(total="high", past_end="404"),
        OFFSET | {"total": "total", "stop_on_status": 404},
        "status_end",
        warnings=frozenset({"total_not_met"}),
    ),
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
    "page_total_pages_shrinks": Case(
        Behaviour(style="page", total_pages="shrinks"),
        PAGE | {"total_pages": "pages"},
        "empty_page",
        warnings=frozenset({"total_shrank"}),
    ),
    "page_total_is_the_pages_own": Case(
        Behaviour(style="page", total="own"),
        PAGE | {"total": "total"},
        "empty_page",
        warnings=frozenset({"total_exceeded"}),
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
    "page_number_is_bounded_and_the_total_is_not": Case(
        Behaviour(style="page", count=200, past_end="last", total="high"),
        PAGE | {"total": "total"},
        "loop",
        warnings=LOOP,
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
    "offset_total_is_a_word": Case(Behaviour(total="words"), OFFSET | {"total": "total"}, "empty_page"),
    "offset_has_more_null": Case(
        Behaviour(has_more="null"), OFFSET | {"has_more": "has_more"}, "empty_page", requests=4
    ),
    "offset_one_record": Case(Behaviour(count=1), OFFSET, "empty_page", requests=2),
    "offset_first_page_again_for_ever": Case(
        Behaviour(past_end="first"), OFFSET, "loop", warnings=LOOP, received=330
    ),
    "page_one_row_each": Case(Behaviour(style="page", cap=1, count=7), PAGE, "empty_page", requests=8),
    "page_404_past_end_by_rule": Case(
        Behaviour(style="page", count=200, past_end="404"),
        PAGE,
        "status_end",
        errors={"status": {"404": "end"}},
    ),
}
