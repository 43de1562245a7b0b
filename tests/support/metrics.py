"""What a process tells of its metrics, as Prometheus's own client reads it."""

from prometheus_client.parser import text_string_to_metric_families

from headwater.telemetry.metrics import Metrics


def counted(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of a sample; None where there is none."""
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if (sample.name, sample.labels) == (name, labels):
                return float(sample.value)
    return None
