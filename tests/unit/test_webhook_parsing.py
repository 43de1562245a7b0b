"""Bodies of every form as documents, and what is none."""

import gzip
import zlib
from typing import Any

import pytest

from headwater.model.errors import ContractError
from headwater.plugins.webhooks.encoding import MAX_MEMBERS, TooLargeError, decompressed
from headwater.plugins.webhooks.parsing import parse

JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


def typed(media: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", media), *more)


READ: dict[str, tuple[bytes, tuple[tuple[str, str], ...], str, Any]] = {
    "JSON": (b'{"a": 1}', JSON, "json", {"a": 1}),
    "JSON with a byte order mark": (b"\xef\xbb\xbf[1]", (), "json", [1]),
    "JSON that calls itself text (AWS SNS)": (
        b'{"a": 1}',
        typed("text/plain; charset=UTF-8"),
        "json",
        {"a": 1},
    ),
    "JSON of a type of its own": (b'"x"', typed("application/vnd.x+json"), "json", "x"),
    "JSON in the charset that its sender names": (
        '{"a": "grüß"}'.encode("latin-1"),
        typed("application/json; charset=iso-8859-1"),
        "json",
        {"a": "grüß"},
    ),
    "long numbers digit for digit": (b"[12345678901234567890123]", JSON, "json", None),
    "nothing": (b" \n", JSON, "empty", None),
    "JSON lines": (b'{"a": 1}\n\n{"a": 2}\n', typed("application/x-ndjson"), "ndjson", [{"a": 1}, {"a": 2}]),
    "a form": (b"a=1&b=%C3%BC&a=2&c=", FORM, "form", {"a": ["1", "2"], "b": "ü", "c": ""}),
    "a form in Windows-1252 (PayPal)": (b"a=%FC%80&b=\xfc", FORM, "form", {"a": "ü€", "b": "ü"}),
    "a form in the charset that its sender names": (
        b"a=%E8&b=%C4%8D&%E8=1",
        typed("application/x-www-form-urlencoded; charset=iso-8859-2"),
        "form",
        {"a": "č", "b": "č", "č": "1"},
    ),
    "a form with a NUL": (b"a=x%00y&b=%00%00", FORM, "form", {"a": "x\0y", "b": "\0\0"}),
    "a lone payload in a form": (b"payload=%7B%22a%22%3A1%7D", FORM, "form", {"payload": {"a": 1}}),
    "a payload that is none": (b"payload=%7Bnope", FORM, "form", {"payload": "{nope"}),
    "text": ("grüß".encode(), typed("text/plain"), "text", {"text": "grüß"}),
    "text in latin-1": (
        "grüß".encode("latin-1"),
        typed("text/plain; charset=iso-8859-1"),
        "text",
        {"text": "grüß"},
    ),
    "XML": (
        b'<o id="7"><l>a</l><l>b</l></o>',
        typed("application/xml"),
        "xml",
        {"o": {"@id": "7", "l": ["a", "b"]}},
    ),
    "SOAP": (
        b"<s:E xmlns:s='u'><s:B>1</s:B></s:E>",
        typed("application/soap+xml"),
        "xml",
        {"E": {"@s": "u", "B": "1"}},
    ),
    "a CloudEvent of JSON": (
        b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}',
        typed("application/cloudevents+json; charset=utf-8"),
        "cloudevents",
        {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"a": 1}},
    ),
    "the same CloudEvent in binary mode": (
        b'{"a":1}',
        typed(
            "application/json",
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("CE-Source", "/s"),
            ("ce-type", "t"),
        ),
        "cloudevents",
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/s",
            "type": "t",
            "datacontenttype": "application/json",
            "data": {"a": 1},
        },
    ),
    "a CloudEvent of text in binary mode, which in structured mode is a text": (
        "grüße".encode(),
        [
            ("content-type", "text/plain; charset=utf-8"),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
        ],
        "cloudevents",
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/s",
            "type": "t",
            "datacontenttype": "text/plain; charset=utf-8",
            "data": "grüße",
        },
    ),
    "a CloudEvent of bytes in binary mode": (
        b"\xff\x00",
        typed(
            "application/octet-stream",
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
        ),
        "cloudevents",
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/s",
            "type": "t",
            "datacontenttype": "application/octet-stream",
            "data_base64": "/wA=",
        },
    ),
    "a batch of CloudEvents": (
        b'[{"specversion":"1.0","id":"1","source":"/s","type":"t"}]',
        typed("application/cloudevents-batch+json"),
        "cloudevents",
        [{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}],
    ),
    "gzip": (gzip.compress(b'{"a": 1}'), (*JSON, ("Content-Encoding", "gzip")), "json", {"a": 1}),
    "deflate": (zlib.compress(b'{"a": 1}'), (*JSON, ("Content-Encoding", "deflate")), "json", {"a": 1}),
    "bare deflate": (
        zlib.compress(b'{"a": 1}')[2:-4],
        (*JSON, ("content-encoding", "deflate")),
        "json",
        {"a": 1},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_body_is_read_as_what_it_is(name: str) -> None:
    body, headers, form, document = READ[name]

    parsed = parse(body, headers)

    assert parsed.form == form
    if name == "long numbers digit for digit":
        assert str(parsed.document[0]) == "12345678901234567890123"
    else:
        assert parsed.document == document


NOT_READ: dict[str, tuple[bytes, tuple[tuple[str, str], ...], str]] = {
    "cut JSON": (b'{"a":', JSON, "not JSON"),
    "deep JSON": (b"[" * 200_000, JSON, "not JSON: it is nested too deeply"),
    "JSON in latin-1": ('{"a": "ü"}'.encode("latin-1"), JSON, "not JSON: byte 8 is not UTF-8"),
    "cut JSON in a charset": (b'{"a": "\xfc', typed("application/json; charset=latin1"), "not JSON"),
    "NaN": (b"[NaN]", JSON, "not JSON"),
    "bytes": (b"\x89PNG\x00\x01", typed("image/png"), "neither JSON nor text"),
    "XML with a document type": (
        b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        typed("text/xml"),
        "document type",
    ),
    "broken XML": (b"<a>", typed("text/xml"), "not XML"),
    "deep XML": (b"<a>" * 1000, typed("text/xml"), "levels"),
    "no line of JSON": (b"a\nb\n", typed("application/x-ndjson"), "no line is JSON"),
    "multipart without a boundary": (b"--x", typed("multipart/form-data"), "boundary"),
    "multipart without an end": (
        b"--x\r\n\r\n",
        typed("multipart/form-data; boundary=x"),
        "closing boundary",
    ),
    "a CloudEvent without its id": (
        b'{"specversion":"1.0"}',
        typed("application/cloudevents+json"),
        "'id' is missing",
    ),
    "a CloudEvent that is a number": (b"7", typed("application/cloudevents+json"), "no object"),
    "an encoding nobody reads": (b"x", (*JSON, ("Content-Encoding", "br")), "'br' is not read"),
    "gzip that is none": (b"x", (*JSON, ("Content-Encoding", "gzip")), "gzip data"),
    "a form of too many fields": (b"a=1&" * 10_001, FORM, "more than 10000 fields"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_a_body_that_is_none_says_why(name: str) -> None:
    body, headers, why = NOT_READ[name]

    with pytest.raises(ContractError, match=why):
        parse(body, headers)


def test_files_of_a_form_are_told_by_name_type_size_and_hash() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="kind"\r\n\r\nphoto\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a \\"b\\".png"\r\n'
        b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\r\n--b--\r\nafter"
    )

    found = parse(body, typed('multipart/form-data; boundary="b"')).document

    assert found["kind"] == "photo"
    assert (found["file"]["filename"], found["file"]["content_type"], found["file"]["size"]) == (
        'a "b".png',
        "image/png",
        6,
    )


def test_lines_that_are_no_json_are_told_and_the_others_read() -> None:
    parsed = parse(b'{"a": 1}\nnope\n{"a": 2}', typed("application/x-ndjson"))

    assert parsed.document == [{"a": 1}, {"a": 2}]
    assert len(parsed.faults) == 1
    assert parsed.faults[0].startswith("line 2:")


def test_a_chosen_form_counts_more_than_the_type() -> None:
    assert parse(b"a=1", JSON, "form").document == {"a": "1"}
    assert parse(b"\xff", JSON, "none").document is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_cut_before_it_unfolds(encoding: str) -> None:
    bomb = (gzip.compress if encoding == "gzip" else zlib.compress)(b"\0" * 50_000_000)

    with pytest.raises(TooLargeError):
        decompressed(bomb, encoding, 1_000_000)


@pytest.mark.parametrize("size", [0, 1, 255, 262_144, 1_000_000])
def test_what_was_compressed_comes_back_whole(size: int) -> None:
    body = bytes(n % 251 for n in range(size))

    assert decompressed(gzip.compress(body), "gzip", 1_000_000) == body
    assert decompressed(zlib.compress(body), "deflate", 1_000_000) == body


def test_gzip_of_several_members_is_one_body_within_one_bound() -> None:
    members = gzip.compress(b"ab") + gzip.compress(b"") + gzip.compress(b"c")

    assert decompressed(members, "gzip", 3) == b"abc"
    with pytest.raises(TooLargeError):
        decompressed(members, "gzip", 2)
    for wrong in (members + b"junk", members[:-1], gzip.compress(b"") * (MAX_MEMBERS + 1)):
        with pytest.raises(ContractError):
            decompressed(wrong, "gzip", 100)
    with pytest.raises(ContractError):
        decompressed(zlib.compress(b"a") * 2, "deflate", 100)
