"""Answers that are not what they seem: hidden errors, bodies and their labels, limits of the walk."""

from collections.abc import Mapping
from dataclasses import replace

from headwater.app.hostile.behaviour import Behaviour, Fault
from headwater.app.hostile.case import (
    CUT,
    OFFSET,
    PAGE,
    Case,
)

_AGAIN = (None, None, None)  # tried again, and still the same
_LINES = Behaviour(envelope="", body="ndjson")

HIDDEN: Mapping[str, Case] = {
    "error_in_200": Case(
        Behaviour(faults=(Fault(2, 200, 9, {}, '{"items": [], "error": "db down"}'),)),
        OFFSET,
        "error:error_in_answer",
        ids=range(100),
        errors={"if": "error", "message": "error"},
    ),
    "error_beside_no_records": Case(
        Behaviour(
            faults=(Fault(2, 200, 9, {}, '{"items": [], "error": {"code": 17, "message": "db down"}}'),)
        ),
        OFFSET,
        "error:error_in_answer",
        ids=range(100),
    ),
    "error_code_beside_no_records": Case(
        Behaviour(
            faults=(Fault(2, 200, 9, {}, '{"items": [], "errcode": 40001, "errmsg": "token expired"}'),)
        ),
        OFFSET,
        "error:error_in_answer",
        ids=range(100),
    ),
    "error_code_that_is_none": Case(
        Behaviour(faults=(Fault(3, 200, 9, {}, '{"items": [], "errcode": 0, "error_code": "0000"}'),)),
        OFFSET,
        "empty_page",
        ids=range(200),
    ),
    "error_instead_of_records": Case(
        Behaviour(faults=(Fault(2, 200, 9, {}, '{"success": false, "message": "db down"}'),)),
        OFFSET,
        "error:error_in_answer",
        ids=range(100),
    ),
    "error_whose_text_no_row_can_hold": Case(
        Behaviour(faults=(Fault(2, 200, 9, {}, '{"items": [], "error": "db\\u0000down \\ud800"}'),)),
        OFFSET,
        "error:error_in_answer",
        ids=range(100),
    ),
    "error_of_a_rate_limit_in_200": Case(
        Behaviour(faults=(Fault(2, 200, 1, {}, '{"ok": false, "error": "Rate limit exceeded"}'),)),
        OFFSET,
        "empty_page",
        waits_s=(None,),
    ),
    "error_of_a_rate_limit_in_200_with_retry_after": Case(
        Behaviour(
            faults=(Fault(2, 200, 1, {"Retry-After": "2"}, '{"ok": false, "error": "Rate limit exceeded"}'),)
        ),
        OFFSET,
        "empty_page",
        waits_s=(2.0,),
    ),
    "error_that_says_there_is_nothing": Case(
        Behaviour(faults=(Fault(3, 200, 9, {}, '{"items": [], "error": "No results found."}'),)),
        OFFSET,
        "empty_page",
        ids=range(200),
    ),
    "error_behind_the_total": Case(
        Behaviour(
            total="own", count=100, faults=(Fault(2, 200, 9, {}, '{"message": "There is no such page"}'),)
        ),
        OFFSET | {"total": "total"},
        "total_reached",
        requests=2,
    ),
    "status_500_behind_the_total": Case(
        Behaviour(total="own", count=100, faults=(Fault(2, 500, 9),)),
        OFFSET | {"total": "total"},
        "total_reached",
        requests=2,
    ),
    "error_that_is_none": Case(
        Behaviour(faults=(Fault(3, 200, 9, {}, '{"items": [], "error": {"code": 0}, "errors": []}'),)),
        OFFSET,
        "empty_page",
        ids=range(200),
    ),
    "status_202_not_ready": Case(
        Behaviour(faults=(Fault(1, 202, 2, {"Retry-After": "2"}, '{"items": []}'),)),
        OFFSET,
        "empty_page",
        waits_s=(2.0, 2.0),
    ),
    "status_202_never_ready": Case(
        Behaviour(faults=(Fault(1, 202, 9, {}, '{"state": "processing"}'),)),
        OFFSET,
        "error:not_ready",
        ids=(),
        waits_s=_AGAIN,
    ),
    "status_304_although_nothing_is_known": Case(
        Behaviour(faults=(Fault(2, 304, 9, {}, ""),)), OFFSET, "error:http_304", ids=range(100)
    ),
    "status_304_for_what_is_known": Case(
        Behaviour(faults=(Fault(1, 304, 9, {}, ""),)),
        OFFSET,
        "status_end",
        ids=(),
        warnings=frozenset({"not_modified"}),
        request={"headers": {"If-None-Match": '"1"'}},
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
    "status_500_means_skip": Case(
        Behaviour(style="page", faults=(Fault(2, 500, 9),)),
        PAGE,
        "empty_page",
        ids=(*range(100), *range(200, 230)),
        errors={"status": {"500": "skip"}},
        warnings=frozenset({"pages_skipped"}),
    ),
    "status_416_means_end": Case(
        Behaviour(count=200, faults=(Fault(3, 416, 9),)),
        OFFSET,
        "status_end",
        errors={"status": {"416": "end"}},
    ),
}

BODIES: Mapping[str, Case] = {
    "body_byte_order_mark": Case(Behaviour(body="bom"), OFFSET, "empty_page"),
    "body_text_plain": Case(Behaviour(body="text"), OFFSET, "empty_page"),
    "body_latin1": Case(Behaviour(body="latin1"), OFFSET, "empty_page"),
    "body_utf8_labelled_latin1": Case(Behaviour(body="latin1_label"), OFFSET, "empty_page"),
    "body_utf16": Case(Behaviour(body="utf16"), OFFSET, "empty_page"),
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
    "body_no_label": Case(Behaviour(body="no_label"), OFFSET, "empty_page"),
    "body_escaped": Case(Behaviour(body="escaped"), OFFSET, "empty_page"),
    "body_gzip": Case(Behaviour(body="gzip"), OFFSET, "empty_page"),
    "body_deflate": Case(Behaviour(body="deflate"), OFFSET, "empty_page"),
    "body_deflate_raw": Case(Behaviour(body="raw_deflate"), OFFSET, "empty_page"),
    "body_gzip_in_members": Case(Behaviour(body="gzip_members"), OFFSET, "empty_page"),
    "body_zstd_in_frames": Case(Behaviour(body="zstd_frames"), OFFSET, "empty_page"),
    "body_br": Case(Behaviour(body="br"), OFFSET, "empty_page"),
    "body_zstd": Case(Behaviour(body="zstd"), OFFSET, "empty_page"),
    "body_false_gzip_label": Case(Behaviour(body="false_gzip"), OFFSET, "empty_page"),
    "body_false_zstd_label": Case(Behaviour(body="false_zstd"), OFFSET, "empty_page"),
    "body_unknown_encoding": Case(Behaviour(body="unknown_encoding"), OFFSET, "error:bad_encoding", ids=()),
    "body_many_encodings": Case(Behaviour(body="many_encodings"), OFFSET, "error:bad_encoding", ids=()),
    "body_gzip_twice": Case(Behaviour(body="gzip_twice"), OFFSET, "empty_page"),
    "body_encoding_is_a_charset": Case(Behaviour(body="utf8_encoding"), OFFSET, "empty_page"),
    "body_padded_with_nul": Case(Behaviour(body="nuls"), OFFSET, "empty_page"),
    "body_ends_in_the_middle": Case(
        Behaviour(body="cut_json"), OFFSET, "error:undecodable", ids=range(100), waits_s=_AGAIN
    ),
    "body_list_of_numbers": Case(Behaviour(records="numbers"), OFFSET, "error:records_missing", ids=()),
    "body_object_of_objects": Case(
        Behaviour(faults=(Fault(1, 200, 9, {}, '{"items": {"a": {"id": 1}, "b": {"id": 2}}}'),)),
        OFFSET,
        "error:records_missing",
        ids=(),
    ),
    "body_gzip_bomb": Case(Behaviour(body="bomb_gzip"), OFFSET, "error:too_large", ids=range(100)),
    "body_br_bomb": Case(Behaviour(body="bomb_br"), OFFSET, "error:too_large", ids=range(100)),
    "body_zstd_bomb": Case(Behaviour(body="bomb_zstd"), OFFSET, "error:too_large", ids=range(100)),
    "body_gzip_cut": Case(
        Behaviour(body="cut_gzip"), OFFSET, "error:cut_body", ids=range(100), waits_s=_AGAIN
    ),
    "body_zstd_cut": Case(
        Behaviour(body="cut_zstd"), OFFSET, "error:cut_body", ids=range(100), waits_s=_AGAIN
    ),
    "body_nan": Case(Behaviour(body="nan"), OFFSET, "error:undecodable", ids=range(100)),
    "body_infinity": Case(Behaviour(body="infinity"), OFFSET, "error:undecodable", ids=range(100)),
    "body_bracket_too_many": Case(Behaviour(body="trailing"), OFFSET, "error:undecodable", ids=range(100)),
    "body_comma_too_many": Case(Behaviour(body="comma"), OFFSET, "error:undecodable", ids=range(100)),
    "body_two_documents": Case(Behaviour(body="two"), OFFSET, "error:undecodable", ids=range(100)),
    "body_100000_levels": Case(Behaviour(body="levels"), OFFSET, "error:undecodable", ids=range(100)),
    "body_invalid_utf8": Case(Behaviour(body="invalid_utf8"), OFFSET, "empty_page"),
    "body_duplicate_keys": Case(Behaviour(body="twice"), OFFSET, "empty_page"),
    "body_10_megabytes_a_page": Case(Behaviour(records="long", count=110), OFFSET, "empty_page"),
    "body_one_record_too_deep": Case(
        Behaviour(records="deep"),
        OFFSET,
        "empty_page",
        ids=(*range(7), *range(8, 230)),
        rejected=1,
        received=230,
    ),
    "body_nul_character": Case(Behaviour(records="nul"), OFFSET, "empty_page", received=230, unstorable=(7,)),
    "body_lone_surrogate": Case(
        Behaviour(records="surrogate", body="escaped"),
        OFFSET,
        "empty_page",
        ids=(*range(7), *range(8, 230)),
        rejected=1,
        received=230,
    ),
    "body_odd_names": Case(Behaviour(records="names"), OFFSET, "empty_page"),
    "body_a_field_of_every_kind": Case(Behaviour(records="kinds"), OFFSET, "empty_page"),
    "body_that_is_a_part_by_its_content_range": Case(
        Behaviour(style="none", status=206, headers={"Content-Range": "items 0-99/230"}),
        {"type": "none"},
        "cursor_end",
        ids=range(100),
        warnings=frozenset({"partial_content"}),
    ),
    "body_that_is_all_of_its_content_range": Case(
        Behaviour(style="none", count=100, status=206, headers={"Content-Range": "items 0-99/100"}),
        {"type": "none"},
        "cursor_end",
    ),
    "body_status_206": Case(Behaviour(status=206), OFFSET, "empty_page"),
    "body_scalar_where_records_are": Case(
        Behaviour(total="number"), OFFSET, "error:records_missing", ids=(), records="total"
    ),
    "ndjson": Case(_LINES, OFFSET, "empty_page", records=None, form={"format": "ndjson"}),
    "ndjson_with_blank_lines": Case(
        replace(_LINES, body="ndjson_blank"), OFFSET, "empty_page", records=None, form={"format": "ndjson"}
    ),
    "ndjson_whose_last_line_is_cut": Case(
        replace(_LINES, body="ndjson_cut"),
        OFFSET,
        "error:undecodable",
        records=None,
        form={"format": "ndjson"},
        ids=range(100),
        waits_s=_AGAIN,
    ),
    "ndjson_with_a_broken_line": Case(
        replace(_LINES, body="ndjson_broken"),
        OFFSET,
        "empty_page",
        records=None,
        form={"format": "ndjson"},
        ids=(*range(105), *range(106, 230)),
        rejected=1,
        received=230,
    ),
    "csv_with_quotes_and_line_ends": Case(
        replace(_LINES, body="csv"), OFFSET, "empty_page", records=None, form={"format": "csv"}
    ),
    "csv_with_semicolons": Case(
        replace(_LINES, body="csv_semicolon"),
        OFFSET,
        "empty_page",
        records=None,
        form={"format": "csv", "delimiter": ";"},
    ),
    "csv_with_names_on_the_first_page_alone": Case(
        replace(_LINES, body="csv_names_once"), OFFSET, "empty_page", records=None, form={"format": "csv"}
    ),
    "csv_behind_blank_lines": Case(
        replace(_LINES, body="csv_blank"), OFFSET, "empty_page", records=None, form={"format": "csv"}
    ),
    "csv_whose_rows_end_in_a_delimiter": Case(
        replace(_LINES, body="csv_open"), OFFSET, "empty_page", records=None, form={"format": "csv"}
    ),
    "csv_that_says_its_delimiter": Case(
        replace(_LINES, body="csv_sep"), OFFSET, "empty_page", records=None, form={"format": "csv"}
    ),
    "csv_with_a_name_twice": Case(
        replace(_LINES, body="csv_twins"), OFFSET, "empty_page", records=None, form={"format": "csv"}
    ),
    "csv_with_a_row_too_long": Case(
        replace(_LINES, body="csv_broken"),
        OFFSET,
        "empty_page",
        records=None,
        form={"format": "csv"},
        rejected=1,
        received=230,
        ids=(*range(105), *range(106, 230)),
    ),
    "xml": Case(
        Behaviour(body="xml", count=250, cap=100),
        OFFSET | {"end_on_short_page": True},
        "short_page",
        records="answer.items.item",
        form={"format": "xml"},
    ),
    "xml_of_one_record": Case(
        Behaviour(body="xml", count=1),
        OFFSET,
        "empty_page",
        records="answer.items.item",
        form={"format": "xml"},
    ),
    "xml_behind_blanks": Case(
        Behaviour(body="xml_blank", count=250),
        OFFSET | {"end_on_short_page": True},
        "short_page",
        records="answer.items.item",
        form={"format": "xml"},
    ),
    "xml_in_latin1_by_its_label": Case(
        Behaviour(body="xml_label", count=250),
        OFFSET | {"end_on_short_page": True},
        "short_page",
        records="answer.items.item",
        form={"format": "xml"},
    ),
    "xml_of_a_fault": Case(
        Behaviour(body="xml_fault"),
        OFFSET,
        "error:error_in_answer",
        ids=(),
        records="Envelope.Body.items",
        form={"format": "xml"},
    ),
    "xml_with_a_document_type": Case(
        Behaviour(body="xml_dtd"),
        OFFSET,
        "error:undecodable",
        ids=(),
        records="answer.items.item",
        form={"format": "xml"},
    ),
    "body_big_numbers": Case(Behaviour(records="big"), OFFSET, "empty_page"),
}

LIMITS: Mapping[str, Case] = {
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
