"""The tables of docs/receiving.md name what there is."""

import re
from pathlib import Path

from headwater.plugins.signatures.handshakes import handshake_names

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "receiving.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def test_the_page_names_every_handshake() -> None:
    named = re.findall(
        r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", SECTIONS["Handshakes"], re.MULTILINE))
    )

    assert sorted(named) == sorted(handshake_names())
