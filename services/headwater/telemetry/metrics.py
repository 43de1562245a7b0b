"""Metrics of one process, in Prometheus form. Every metric is declared here, so that the list is in one place."""

from headwater.telemetry.exposition import Registry

_ANSWER_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_LAG_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        registry = self._registry = Registry()
        self.received = registry.counters(
            "headwater_webhooks_total", "Webhook requests by outcome", "outcome"
        )
        self.verified = registry.counter(
            "headwater_webhooks_verified_total", "Webhook requests whose signature was right"
        )
        self.refused = registry.counters(
            "headwater_webhooks_refused_total", "Refused webhooks by reason", "reason"
        )
        self.answer_seconds = registry.histogram(
            "headwater_webhook_answer_seconds", "Time to the answer", _ANSWER_SECONDS
        )
        self.provider_lag_seconds = registry.histogram(
            "headwater_webhook_provider_lag_seconds", "From the signed time to the receipt", _LAG_SECONDS
        )
        self.snapshot_age_seconds = registry.gauge(
            "headwater_receiver_snapshot_age_seconds", "Age of the receiver's snapshot of the endpoints"
        )
        self.endpoint_alarms = registry.gauges(
            "headwater_endpoint_alarms",
            "Endpoints that are quiet for longer than their habit, or refuse too much",
            "tenant",
            "endpoint",
            "kind",
        )
        self.malformed = registry.counters(
            "headwater_http_malformed_total", "Requests that are no HTTP, by fault", "fault"
        )
        self.pages = registry.counters("headwater_pages_total", "Pages fetched by outcome", "outcome")
        self.records = registry.counters("headwater_records_total", "Records by what happened", "outcome")
        self.deliveries = registry.counters(
            "headwater_deliveries_total", "Deliveries settled by state", "state"
        )
        self.notifications = registry.counters(
            "headwater_notification_attempts_total",
            "Attempts to send notifications, by kind of target and outcome",
            "kind",
            "outcome",
        )
        self.fired = registry.counter("headwater_schedules_fired_total", "Schedule boundaries fired")
        self.relayed = registry.counter("headwater_relayed_total", "Outbox messages published")
        self.dead = registry.counters("headwater_dead_letters_total", "Messages given up", "queue")
        self.outbox = registry.gauge("headwater_outbox_messages", "Messages owed")
        self.queue = registry.gauges("headwater_queue_messages", "Messages in a queue", "queue")
        self.outside_partitions = registry.gauges(
            "headwater_rows_outside_partitions",
            "Rows that no day's partition took (at most 1,000 are counted)",
            "table",
        )
        self.restarts = registry.counters("headwater_restarts_total", "Service restarts", "service")

    def render(self) -> bytes:
        """The exposition text (version 0.0.4)."""
        return self._registry.render()
