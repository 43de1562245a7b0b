"""The pages name every metric once, with its labels, and none that is not there."""

import re
from pathlib import Path

from headwater.telemetry.metrics import Metrics

DOCS = Path(__file__).resolve().parents[2] / "docs"
_ROW = re.compile(r"^\| `(headwater_\w+)(?:\{([\w, ]+)\})?` \|", re.MULTILINE)


def test_the_pages_name_each_metric_with_its_labels() -> None:
    rows = [
        found
        for page in ("operations.md", "receiving.md")
        for found in _ROW.findall((DOCS / page).read_text())
    ]

    named = {name: tuple(filter(None, labels.split(", "))) for name, labels in rows}
    assert len(rows) == len(named)
    declared = {name: getattr(metric, "_names", ()) for name, _, _, metric in Metrics()._registry._all}
    assert named == declared


def test_names_end_in_their_unit_as_prometheus_wants_it() -> None:
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", Metrics().render().decode(), re.MULTILINE))

    assert [name for name, kind in kinds.items() if (kind == "counter") != name.endswith("_total")] == []
    assert [
        name for name, kind in kinds.items() if kind == "histogram" and not name.endswith("_seconds")
    ] == []
