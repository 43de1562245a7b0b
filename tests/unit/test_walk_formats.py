"""JSON lines, CSV and XML as records; and parts of a stream that do not fit together."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.support.walk_driver import definition

from headwater.contracts.walking import Records
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import Response
from headwater.plugins.walk.body import document_of
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.walk import Walk

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def _page(body: bytes, path: str | None = None, kind: str = "", **records: Any) -> Page:
    stream = definition("https://api.example", pagination={"type": "offset"})
    stream = stream.model_copy(
        update={"stream": stream.stream.model_copy(update={"records": Records(path=path, **records)})}
    )
    walk = Walk(stream)
    response = Response(200, (("Content-Type", kind),), body, "https://api.example/items")
    return walk.read(walk.first(None, NOW), response, NOW)


def test_json_lines_are_records_and_a_bad_line_is_rejected_alone() -> None:
    page = _page(b'{"id": 1}\r\n\n{"id": 18446744073709551617}\n{"id": \n[4]\n', format="ndjson")

    assert page.records == [{"id": 1}, {"id": Decimal(18446744073709551617)}]
    assert [one.index for one in page.rejected] == [2, 3]
    assert page.rejected[0].reason.startswith("not JSON")
    assert page.received_count == 4


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_no_json_lines_at_all_are_an_empty_page(body: bytes) -> None:
    page = _page(body, format="ndjson")

    assert (page.records, page.stop_reason) == ([], "empty_page")


def test_csv_rows_are_records() -> None:
    body = b'\xef\xbb\xbfid;name;note\r\n1;"Zo\xc3\xab; the ""first""";\r\n2;"two\nlines";x\r\n3\r\n4;a;b;c\r\n\r\n'

    page = _page(body, format="csv", delimiter=";")

    assert page.records == [
        {"id": "1", "name": 'Zoë; the "first"', "note": None},
        {"id": "2", "name": "two\nlines", "note": "x"},
        {"id": "3", "name": None, "note": None},
    ]
    assert [(one.index, one.reason) for one in page.rejected] == [(3, "4 cells under 3 columns")]


def test_csv_in_latin_1_is_read_by_its_label() -> None:
    assert _page(b"id,name\n1,Zo\xeb\n", kind="text/csv; charset=latin-1", format="csv").records == [
        {"id": "1", "name": "Zoë"}
    ]


def test_xml_elements_are_records() -> None:
    body = b"""<?xml version="1.0" encoding="ISO-8859-1"?>
    <list:rows xmlns:list="urn:x" count="2">
      <row id="1"><name>Zo\xeb</name><tag>a</tag><tag>b</tag><none/></row>
      <row id="2">text<name><![CDATA[<b>]]></name></row>
    </list:rows>"""

    page = _page(body, "rows.row", format="xml")

    assert page.records == [
        {"@id": "1", "name": "Zoë", "tag": ["a", "b"], "none": None},
        {"@id": "2", "#text": "text", "name": "<b>"},
    ]


def test_one_xml_element_is_one_record() -> None:
    assert _page(b"<rows><row><id>1</id></row></rows>", "rows.row", format="xml").records == [{"id": "1"}]


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>', "xml"),
        (b'<!DOCTYPE a SYSTEM "http://evil.example/x.dtd"><a/>', "xml"),
        (b"<a>" * 5000 + b"</a>" * 5000, "xml"),
        (b"<a>&undefined;</a>", "xml"),
        (b"<a><b></a>", "xml"),
        (b"", "xml"),
        (b"{}", "xml"),
        (b"<html>", "ndjson"),
        (b'a,b\n1,"2', "csv"),
    ],
)
def test_what_is_not_in_its_format_is_an_error(body: bytes, form: str) -> None:
    with pytest.raises(SourceError) as caught:
        document_of(
            Response(200, (), body, "https://api.example"), (), Records.model_validate({"format": form})
        )

    assert caught.value.kind == "undecodable"


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"id": 1}\n{"id": 2}\n', "application/json", "records.format: ndjson"),
        (b'<?xml version="1.0"?><a/>', "text/plain", "records.format: xml"),
        (b"<a/>", "application/xml", "records.format: xml"),
        (b"id,name\n1,a\n", "text/csv", "records.format: csv"),
        (b"<html></html>", "text/html", "it begins: <html></html>"),
    ],
)
def test_the_format_that_an_answer_has_likelier_is_named(body: bytes, kind: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        document_of(Response(200, (("Content-Type", kind),), body, "https://api.example"))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"pagination": {"type": "offset", "in": "json"}}, "request.method: POST"),
        ({"pagination": {"type": "page", "in": "path"}}, "{page}"),
        ({"pagination": {"type": "graphql_relay", "page_info": "a.b"}}, "request.graphql"),
        ({"pagination": {"type": "cursor", "cursor_path": "a b"}}, "'a b'"),
        ({"records": "items["}, "'items['"),
        ({"errors": {"if": "a ||"}}, "'a ||'"),
        ({"incremental": {"field": "]", "param": "x"}}, "']'"),
    ],
)
def test_parts_that_do_not_fit_are_found_before_the_first_request(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Walk(definition("https://api.example", **parts))

    assert said in str(caught.value)


@pytest.mark.parametrize("body", [b'{"error": "no"}', b"\n<!doctype html><html></html>", b'[{"id": 1}]'])
def test_what_is_json_or_html_is_no_csv_with_a_strange_header(body: bytes) -> None:
    with pytest.raises(SourceError, match="not CSV .it begins as JSON, XML or HTML does") as raised:
        _page(body, format="csv")

    assert raised.value.kind == "undecodable"


def test_csv_columns_without_a_name_are_called_by_their_place() -> None:
    assert _page(b"id,,name,\n1,2,3,4\n", format="csv").records == [
        {"id": "1", "column_2": "2", "name": "3", "column_4": "4"}
    ]


def test_csv_of_another_delimiter_is_told() -> None:
    assert _page(b"id;name\n1;a\n", format="csv").warnings == (
        "delimiter_unmatched: the rows have one column, 'id;name'; write records.delimiter: ';'",
    )


def test_xml_in_an_encoding_of_several_bytes_a_letter_is_read() -> None:
    text = (
        "<?xml version='1.0' encoding='GBK'?><feed><entry><id>中</id></entry><entry><id>2</id></entry></feed>"
    )

    assert _page(text.encode("gbk"), "feed.entry", format="xml").records == [{"id": "中"}, {"id": "2"}]
    with pytest.raises(SourceError, match="not XML"):
        _page(text.replace("GBK", "Shift_JIS").encode("gbk") + b"\xff", "feed.entry", format="xml")


def test_xml_has_no_empty_lists_so_an_element_without_children_is_one_and_a_misspelt_path_is_not() -> None:
    page = _page(b"<feed><title>x</title></feed>", "feed.entry", format="xml")

    assert (page.records, page.stop_reason) == ([], "empty_page")
    assert page.warnings == (
        "path_unmatched: records.path 'feed.entry': feed has no entry, which is taken for an empty list",
    )
    with pytest.raises(SourceError, match="leads to nothing"):
        _page(b"<feed><entry><id>1</id></entry></feed>", "feed.entri", format="xml")


def test_a_column_whose_name_comes_again_gets_a_number_behind_it() -> None:
    page = _page(b"id,name,name,name_2,name\n1,a,b,c,d\n", format="csv")

    assert page.records == [{"id": "1", "name": "a", "name_3": "b", "name_2": "c", "name_4": "d"}]


def test_a_fault_of_csv_names_its_line_and_one_of_json_its_place() -> None:
    with pytest.raises(SourceError, match=r"is not CSV \(line 3: .*; quotes within quotes are doubled\)"):
        _page(b'id,name\n1,a\n2,"a \\" b"\n', format="csv")
    with pytest.raises(SourceError, match=r"is not JSON \(NaN is no JSON number\)"):
        _page(b'[{"id": NaN}]')
    with pytest.raises(SourceError, match="is not JSON; it begins: <html>"):
        _page(b"<html>")


def test_records_that_an_empty_answer_leaves_out_are_none_where_the_path_says_so() -> None:
    with pytest.raises(SourceError, match=r"write '_embedded.items \|\| `\[\]`'"):
        _page(b'{"_links": {}}', "_embedded.items")

    assert _page(b'{"_links": {}}', "_embedded.items || `[]`").records == []


@pytest.mark.parametrize("body", [b"# exported in May\nid,name\n1,a\n", b"id,name\n" + b"1,2,3\n" * 5])
def test_csv_whose_first_line_names_no_columns_is_an_error(body: bytes) -> None:
    with pytest.raises(SourceError, match="names no columns: every row has more"):
        _page(body, format="csv")


def test_a_column_of_csv_has_no_nul_in_its_name() -> None:
    assert _page(b"id\0,\0\n1,2\n", format="csv").records == [{"id": "1", "column_2": "2"}]


@pytest.mark.parametrize(
    "body", [b"\r\n\n  \nid\n".replace(b"  ", b"") + b"1\n", b"\nid\n1\n", b"id\n1,\n", b"id\n1,,\n"]
)
def test_csv_may_have_blank_lines_before_its_header_and_delimiters_at_the_end_of_its_rows(
    body: bytes,
) -> None:
    page = _page(body, format="csv")

    assert (page.records, page.rejected) == ([{"id": "1"}], ())


@pytest.mark.parametrize(
    ("headers", "body", "is_cut"),
    [
        ((), b"id,name\n1,a\n12", True),
        ((), b"id,name\n1,a\n12\n", False),
        ((), b"id,name\n1\n12", False),  # all rows are so
        ((("Content-Length", "14"),), b"id,name\n1,a\n12", False),
        ((("Transfer-Encoding", "chunked"),), b"id,name\n1,a\n12", False),
    ],
)
def test_csv_that_ends_with_the_connection_alone_may_be_cut_in_its_last_row(
    headers: tuple[tuple[str, str], ...], body: bytes, is_cut: bool
) -> None:
    response, records = Response(200, headers, body, "https://api.example"), Records(format="csv")

    if not is_cut:
        assert len(document_of(response, (), records).content) == 2
        return
    with pytest.raises(SourceError, match="last row") as raised:
        document_of(response, (), records)
    assert raised.value.retryable


@pytest.mark.parametrize("label", ["text/xml; charset=ISO-8859-1", "text/xml"])
def test_xml_that_names_no_encoding_is_read_as_its_label_says(label: str) -> None:
    page = _page("<rows><row><id>ä</id></row></rows>".encode("latin-1"), "rows.row", label, format="xml")

    assert page.records == [{"id": "ä"}]


def test_xml_without_records_is_an_empty_page_whatever_is_made_of_them() -> None:
    page = _page(b"<rows/>", 'rows.row[].{id: "@id"}', format="xml")

    assert (page.records, page.stop_reason) == ([], "empty_page")


@pytest.mark.parametrize(
    "body",
    [
        b"<Envelope><Body><Fault><faultstring>db down</faultstring></Fault></Body></Envelope>",
        b'<s:Envelope xmlns:s="x"><s:Header/><s:Body><s:Fault><faultstring>db down</faultstring></s:Fault></s:Body></s:Envelope>',
        b"<rows><fault><message>db down</message></fault></rows>",
    ],
)
def test_a_fault_of_soap_is_no_empty_page(body: bytes) -> None:
    with pytest.raises(SourceError, match="db down") as raised:
        _page(body, "Envelope.Body.rows" if b"Body" in body else "rows.row", format="xml")

    assert raised.value.kind == "error_in_answer"
