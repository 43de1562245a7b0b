"""Every manifest that a page of docs/ shows is a whole one: it can be copied and applied."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from headwater.contracts.manifest_text import parse_manifest
from headwater.control.validation import check

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCKS = [
    (f"{page.relative_to(DOCS)}, block {number}", block)
    for page in sorted(DOCS.rglob("*.md"))
    for number, block in enumerate(re.findall(r"```ya?ml\n(.*?)```", page.read_text(), re.DOTALL), 1)
]


@pytest.mark.parametrize(("place", "text"), BLOCKS, ids=[place for place, _ in BLOCKS])
def test_a_manifest_of_a_page_can_be_applied_as_it_stands(place: str, text: str) -> None:
    # whsec_ and base64, which every scheme and target takes
    environment = defaultdict(lambda: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    environment["SLACK_WEBHOOK"] = "https://hooks.slack.com/services/x"
    for name in re.findall(r"\$\{env:(\w+)\}", text):
        environment[name]

    manifest, document = parse_manifest(text, place, environment)

    assert [str(problem) for problem in check(manifest, document)] == []


def test_the_pages_have_manifests() -> None:
    assert len({place.partition(",")[0] for place, _ in BLOCKS}) >= 5
