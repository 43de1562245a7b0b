"""HTML whose texts cannot be forgotten to be escaped."""

from uuid import UUID

import pytest

from headwater.control.ui.markup import element, text
from headwater.control.ui.style import STYLE

HOSTILE = "</style><script>alert('1')</script>&\""


def test_texts_and_attributes_are_escaped_unless_they_are_markup() -> None:
    inner = element("b", HOSTILE, title=HOSTILE)

    made = element("p", inner, HOSTILE, class_="x")

    escaped = "&lt;/style&gt;&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&amp;&quot;"
    assert made == f'<p class="x"><b title="{escaped}">{escaped}</b>{escaped}</p>'


def test_markup_that_is_joined_with_a_text_is_a_text_again() -> None:
    joined = element("b", "x") + HOSTILE

    assert "<" not in text(joined)


def test_lists_numbers_ids_and_nothing_are_content() -> None:
    made = text(["a", None, (1, 2.5), [], UUID(int=1), True])

    assert made == "a12.500000000-0000-0000-0000-000000000001True"


def test_what_would_not_be_seen_or_turns_the_reading_order_is_shown() -> None:
    made = text("a\x00b\x1b\x85\u202ec\u2066\ud800\n\t")

    assert made == "a␀b␛\\x85\\u202ec\\u2066\\ud800\n\t"


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "https://evil.example", "//evil.example", "/\\evil.example", "", " /x", "data:,"],
)
def test_nothing_that_came_from_elsewhere_is_a_link(address: str) -> None:
    with pytest.raises(ValueError, match="no address of this server"):
        element("a", "x", href=address)


def test_the_style_sheet_needs_no_escaping() -> None:
    assert "<" not in STYLE
    assert "url(" not in STYLE


def test_a_word_that_is_longer_than_the_page_is_broken_wherever_it_stands() -> None:
    (body,) = [rule for rule in STYLE.split("}") if rule.startswith("body{")]

    assert "overflow-wrap:anywhere" in body
    assert "overflow-wrap:normal" not in STYLE  # a long name in a table lay over the cell beside it
