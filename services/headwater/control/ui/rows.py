"""The one table of the UI's pages and deeds, below `/ui/tenants/{tenant}`."""

from headwater.control.ui import (
    backfills,
    calendars,
    configuration,
    dead_letters,
    deliveries,
    destinations,
    endpoints,
    notifications,
    overview,
    records,
    refusals,
    replays,
    run_page,
    runs,
    schedule_forms,
    schedules,
    streams,
)
from headwater.control.ui.visit import Deed, Download, Page, Row

_STREAM = "/streams/{source}/{stream}"
_RUN = "/runs/{run}"
_SCHEDULE = "/schedules/{schedule}"
_ENDPOINT = "/endpoints/{endpoint}"
_DELIVERY = "/deliveries/{delivery}"
_LETTER = "/dead-letters/{letter}"
_SENT = "/notifications/{sent}"


def page_rows() -> tuple[Row, ...]:
    """Every row."""
    return (
        Page("", overview.show_overview),
        Page("/streams", streams.show_streams),
        Page(_STREAM, streams.show_stream),
        Deed(f"{_STREAM}/start", streams.start, streams.show_stream),
        Page("/runs", runs.show_runs),
        Page(_RUN, run_page.show_run),
        Deed(f"{_RUN}/cancel", run_page.cancel, run_page.show_run),
        Deed(f"{_RUN}/rerun", run_page.rerun, run_page.show_run),
        *_schedule_rows(),
        Page("/calendars", calendars.show_calendars),
        Page("/calendars/{calendar}", calendars.show_calendar),
        *_webhook_rows(),
        Page("/destinations", destinations.show_destinations),
        Page("/destinations/{destination}", destinations.show_destination),
        Page("/dead-letters", dead_letters.show_dead_letters),
        Page(_LETTER, dead_letters.show_dead_letter),
        Deed(f"{_LETTER}/replay", dead_letters.replay, dead_letters.show_dead_letter),
        Deed(f"{_LETTER}/discard", dead_letters.discard, dead_letters.show_dead_letter),
        Page("/notifications", notifications.show_notifications),
        Page(_SENT, notifications.show_sent),
        Deed(f"{_SENT}/redeliver", notifications.redeliver, notifications.show_sent),
        *configuration.rows(),
        Page("/secrets", records.show_secrets),
        Page("/audit", records.show_audit),
    )


def _schedule_rows() -> tuple[Row, ...]:
    shown = schedules.show_schedule
    return (
        Page("/schedules", schedules.show_schedules),
        Page(_SCHEDULE, shown),
        Page(f"{_SCHEDULE}/backfill", backfills.show_form),
        Deed(f"{_SCHEDULE}/backfill", backfills.backfill, backfills.show_form),
        Page("/backfills", backfills.show_backfills),
        Page("/backfills/{backfill}", backfills.show_backfill),
        Deed("/backfills/{backfill}/cancel", backfills.cancel, backfills.show_backfill),
        Deed(f"{_SCHEDULE}/run", schedule_forms.run, shown),
        Deed(f"{_SCHEDULE}/pause", schedule_forms.pause, shown),
        Deed(f"{_SCHEDULE}/resume", schedule_forms.resume, shown),
        Deed(f"{_SCHEDULE}/enable", schedule_forms.enable, shown),
        Deed(f"{_SCHEDULE}/disable", schedule_forms.disable, shown),
        Deed(f"{_SCHEDULE}/reset-failures", schedule_forms.reset_failures, shown),
    )


def _webhook_rows() -> tuple[Row, ...]:
    return (
        Page("/endpoints", endpoints.show_endpoints),
        Page(_ENDPOINT, endpoints.show_endpoint),
        Deed(f"{_ENDPOINT}/enable", endpoints.enable, endpoints.show_endpoint),
        Deed(f"{_ENDPOINT}/disable", endpoints.disable, endpoints.show_endpoint),
        Page("/deliveries", deliveries.show_deliveries),
        Deed("/deliveries/replay", replays.replay_all, deliveries.show_deliveries),
        Page("/replays", replays.show_replays),
        Page("/replays/{replay}", replays.show_replay),
        Deed("/replays/{replay}/cancel", replays.cancel_replay, replays.show_replay),
        Page(_DELIVERY, deliveries.show_delivery),
        Download(f"{_DELIVERY}/raw", deliveries.raw),
        Deed(f"{_DELIVERY}/replay", deliveries.replay, deliveries.show_delivery),
        Page("/refusals", refusals.show_refusals),
        Page("/refusals/{refusal}", refusals.show_refusal),
    )
