"""Metrics in Prometheus's form, read by Prometheus's own client."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headwater.telemetry.exposition import Registry


def read(registry: Registry) -> dict[str, tuple[str, str, list[tuple[str, dict[str, str], float]]]]:
    return {
        family.name: (
            family.type,
            family.documentation,
            [(sample.name, sample.labels, sample.value) for sample in family.samples],
        )
        for family in text_string_to_metric_families(registry.render().decode())
    }


def test_counters_and_gauges_are_read_as_what_they_are() -> None:
    registry = Registry()
    registry.counter("seen_total", "What was seen").inc()
    registry.gauge("depth", "How deep").set(-2.5)

    assert read(registry) == {
        "seen": ("counter", "What was seen", [("seen_total", {}, 1.0)]),
        "depth": ("gauge", "How deep", [("depth", {}, -2.5)]),
    }


def test_labels_tell_metrics_apart_whatever_they_hold() -> None:
    registry = Registry()
    faults = registry.counters("faults_total", "Faults", "kind", "place")
    odd = 'a "quoted"\nback\\slash, {ünïcode}=1'
    faults.labels(odd, "x").inc(2)
    faults.labels(odd, "x").inc(40)
    faults.labels("", odd)

    assert read(registry)["faults"][2] == [
        ("faults_total", {"kind": odd, "place": "x"}, 42.0),
        ("faults_total", {"kind": "", "place": odd}, 0.0),
    ]


def test_what_is_cleared_is_told_no_more() -> None:
    registry = Registry()
    depths = registry.gauges("depth", "How deep", "queue")
    depths.labels("gone").set(1)

    depths.clear()
    depths.labels("there").set(3)

    assert read(registry)["depth"][2] == [("depth", {"queue": "there"}, 3.0)]


def test_the_wrong_number_of_labels_is_refused() -> None:
    depths = Registry().gauges("depth", "How deep", "queue")

    with pytest.raises(ValueError, match="queue"):
        depths.labels("a", "b")


def test_a_histogram_counts_up_to_each_bound_and_a_value_on_a_bound_belongs_to_it() -> None:
    registry = Registry()
    seconds = registry.histogram("took_seconds", "How long", (0.5, 1.0))
    for value in (0.25, 0.5, 0.75, 1.0, 7.0):
        seconds.observe(value)

    assert read(registry)["took_seconds"] == (
        "histogram",
        "How long",
        [
            ("took_seconds_bucket", {"le": "0.5"}, 2.0),
            ("took_seconds_bucket", {"le": "1.0"}, 4.0),
            ("took_seconds_bucket", {"le": "+Inf"}, 5.0),
            ("took_seconds_count", {}, 5.0),
            ("took_seconds_sum", {}, 9.5),
        ],
    )
