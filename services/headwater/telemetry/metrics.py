"""Metrics of one process, in Prometheus form. Every metric is declared here, so that the list is in one place."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_ANSWER_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_LAG_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = Counter(
            "headwater_webhooks_total", "Webhook requests by outcome", ["outcome"], registry=self.registry
        )
        self.verified = Counter(
            "headwater_webhooks_verified_total",
            "Webhook requests whose signature was right",
            registry=self.registry,
        )
        self.refused = Counter(
            "headwater_webhooks_refused_total",
            "Refused webhooks by reason",
            ["reason"],
            registry=self.registry,
        )
        self.answer_seconds = Histogram(
            "headwater_webhook_answer_seconds",
            "Time to the answer",
            buckets=_ANSWER_SECONDS,
            registry=self.registry,
        )
        self.provider_lag_seconds = Histogram(
            "headwater_webhook_provider_lag_seconds",
            "From the signed time to the receipt",
            buckets=_LAG_SECONDS,
            registry=self.registry,
        )
        self.snapshot_age_seconds = Gauge(
            "headwater_receiver_snapshot_age_seconds",
            "Age of the receiver's snapshot of the endpoints",
            registry=self.registry,
        )
        self.endpoint_alarms = Gauge(
            "headwater_endpoint_alarms",
            "Endpoints that are quiet for longer than their habit, or refuse too much",
            ["tenant", "endpoint", "kind"],
            registry=self.registry,
        )
        self.malformed = Counter(
            "headwater_http_malformed_total",
            "Requests that are no HTTP, by fault",
            ["fault"],
            registry=self.registry,
        )
        self.pages = Counter(
            "headwater_pages_total", "Pages fetched by outcome", ["outcome"], registry=self.registry
        )
        self.records = Counter(
            "headwater_records_total", "Records by what happened", ["outcome"], registry=self.registry
        )
        self.deliveries = Counter(
            "headwater_deliveries_total", "Deliveries settled by state", ["state"], registry=self.registry
        )
        self.notifications = Counter(
            "headwater_notification_attempts_total",
            "Attempts to send notifications, by kind of target and outcome",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.fired = Counter(
            "headwater_schedules_fired_total", "Schedule boundaries fired", registry=self.registry
        )
        self.relayed = Counter("headwater_relayed_total", "Outbox messages published", registry=self.registry)
        self.dead = Counter(
            "headwater_dead_letters_total", "Messages given up", ["queue"], registry=self.registry
        )
        self.outbox = Gauge("headwater_outbox_messages", "Messages owed", registry=self.registry)
        self.queue = Gauge(
            "headwater_queue_messages", "Messages in a queue", ["queue"], registry=self.registry
        )
        self.outside_partitions = Gauge(
            "headwater_rows_outside_partitions",
            "Rows that no day's partition took (at most 1,000 are counted)",
            ["table"],
            registry=self.registry,
        )
        self.restarts = Counter(
            "headwater_restarts_total", "Service restarts", ["service"], registry=self.registry
        )

    def render(self) -> bytes:
        """The exposition text (version 0.0.4)."""
        return generate_latest(self.registry)
