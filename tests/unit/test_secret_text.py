"""What people see of texts in which an API repeats what it was sent."""

import html
import json
import re
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest

from headwater.model.secret import Secret
from headwater.plugins.secret_text import masked

KEY = 'sEc ret+/=&"<x>\u00e9'


@pytest.mark.parametrize(
    "written",
    [
        KEY,
        quote(KEY, safe=""),
        quote(KEY),
        re.sub("%..", lambda match: match[0].lower(), quote(KEY, safe="")),
        quote_plus(KEY),
        json.dumps(KEY)[1:-1],
        json.dumps(KEY, ensure_ascii=False)[1:-1],
        html.escape(KEY),
        html.escape(KEY, quote=False),
    ],
)
def test_a_secret_is_starred_out_in_whatever_way_it_is_written(written: str) -> None:
    shown = masked(f"cannot GET /items?key={written}&page=1", [Secret.of(KEY)])

    assert "ret" not in shown
    assert shown.endswith("&page=1")


def test_what_stands_behind_the_word_of_its_scheme_is_starred_out_by_itself() -> None:
    pair = b64encode(b"me:pass").decode()

    shown = masked(f"bad credentials {pair}", [Secret.of(f"Basic {pair}")])

    assert shown == "bad credentials ***"
    assert masked(f"no Basic {pair}", [Secret.of(f"Basic {pair}")]) == "no Basic ***"


def test_a_secret_of_two_words_is_starred_out_whole() -> None:
    assert masked("no correct horsebattery", [Secret.of("correct horsebattery")]) == "no ***"


def test_a_short_value_stars_out_nothing() -> None:
    assert masked("a 1 b", [Secret.of("1")]) == "a 1 b"
