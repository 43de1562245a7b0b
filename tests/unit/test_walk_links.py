"""The Link header as standards and servers write it."""

import pytest

from headwater.model.links import names_unread, parse_links, target_of

_NEXT = [
    ('<https://a/x?page=2>; rel="next"', "https://a/x?page=2"),
    ("<https://a/x?page=2>; rel=next", "https://a/x?page=2"),
    ('<https://a/x?page=2>; REL="Next"', "https://a/x?page=2"),
    ('<https://a/1>; rel="prev", <https://a/3>; rel="next"', "https://a/3"),
    ('<https://a/3>; rel="last next"', "https://a/3"),
    ('<https://a/x?ids=1,2;3>; rel="next"', "https://a/x?ids=1,2;3"),
    ('<https://a/1>; title="a, <b>; rel=\\"next\\""; rel="prev", </2>; rel=next', "/2"),
    ('<?page=2>;rel="next";type="application/json"', "?page=2"),
    ('</2> ; rel = "next"', "/2"),
    ("< /2 >; rel=next", "/2"),
    ("<>; rel=next", ""),
    ('</2>; rel="prev"; rel="next"', None),  # only the first rel counts
    ('</2>; rel="next"; anchor="/other"', None),  # a link of another page
    ('</2>; rev="next"', None),
    ("</2>", None),
    ('<https://a/2; rel="next"', None),
    ("next", None),
    ("", None),
    (",,;;<>;,", None),
    ('</2>; rel="next', "/2"),
    ("</1>;;;rel=prev,,</2>;rel=next", "/2"),
]


@pytest.mark.parametrize(("header", "target"), _NEXT)
def test_the_next_link_is_found_where_there_is_one(header: str, target: str | None) -> None:
    assert target_of([header], "next") == target


@pytest.mark.parametrize(
    ("header", "is_unread"),
    [
        ('/x?page=2; rel="next"', True),
        ("</a/2; rel=next", True),
        ("/x?page=2; rel='last next'", True),
        ('/x?page=1; rel="prev"', False),
        ('</2>; rel="next"; results="false"', False),
        ('</2>; title="rel=next"', False),
        ("", False),
    ],
)
def test_a_link_without_its_brackets_is_not_taken_for_none(header: str, is_unread: bool) -> None:
    assert names_unread([header], "next") is is_unread


def test_several_headers_are_one_list() -> None:
    links = parse_links(['</1>; rel="first"', '</2>; rel="next", </9>; rel="last"'])

    assert [(link.target, link.rels) for link in links] == [
        ("/1", ("first",)),
        ("/2", ("next",)),
        ("/9", ("last",)),
    ]


def test_a_rel_that_is_a_url_is_compared_whole() -> None:
    assert target_of(['</2>; rel="https://api.example/rels/Next"'], "https://api.example/rels/next") == "/2"


def test_an_endless_header_is_read_in_bounded_time() -> None:
    assert target_of(["<" * 200_000], "next") is None
    assert target_of(['</1>; rel="a", ' * 100_000], "next") is None
