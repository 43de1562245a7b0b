"""The tables of docs/walking.md name what there is."""

import re
from pathlib import Path
from typing import get_args

from headwater.contracts.destination import Destination
from headwater.contracts.fields import FieldType
from headwater.plugins.paginators import PAGINATORS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "walking.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def named(section: str) -> list[str]:
    """What stands in code in the first column of the section's table."""
    return re.findall(r"^\| `(\w+)` \|", SECTIONS[section], re.MULTILINE)


def test_the_tables_of_the_guide_name_every_paginator_type_and_mode() -> None:
    assert set(named("Pages")) - {"type"} == set(PAGINATORS)
    assert set(named("Fields")) - {"type"} == set(get_args(FieldType))
    assert set(named("Where records go")) - {"mode"} == set(
        get_args(Destination.model_fields["mode"].annotation)
    )


def test_the_guide_has_an_example_for_each_of_its_parts() -> None:
    assert len(BLOCKS) == 14
