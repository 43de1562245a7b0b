"""What happened as facts for programs, and as sentences for people: what, where, why, what to do, where to look."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.contracts.messages import RunFinished
from headwater.contracts.notifications import Notification
from headwater.plugins.notifiers.template import render

SUBJECT = "[headwater] {event}: {subject}"
TEXT = "{what}\n\nWhere: {where}\nWhy: {why}\nNext: {next}"
_MAX_WHY = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, and whom it concerns: what rules are matched against.

    `late_after_s` is there where a run is late for those only who chose this time.
    """

    event: str
    at: datetime
    tenant: str
    facts: Mapping[str, Any]
    key: str
    schedule: str | None = None
    streams: tuple[str, ...] = ()
    endpoint: str | None = None
    run_id: UUID | None = None
    late_after_s: int | None = None


def _said(event: str, kind: str, tenant: str, subject: str, at: datetime, key: str) -> dict[str, Any]:
    return {
        "id": key,
        "type": f"{kind}.{event}",
        "event": event,
        "at": at.isoformat(),
        "tenant": tenant,
        "subject": subject,
        "schedule": None,
        "stream": None,
        "endpoint": None,
    }


def of_run(finished: RunFinished, event: str, failures: int, public_url: str) -> Event:
    """The end of a run. `failures`: how many ended so in a row, this one included; for `recovered`, before it."""
    key = f"run/{finished.run_id}/{finished.attempt}/{event}"
    run = {
        "id": str(finished.run_id),
        **finished.model_dump(mode="json", exclude={"run_id", "tenant", "error"}),
        "error": None
        if finished.error is None
        else {"class": finished.error.kind, "message": finished.error.message[:4000]},
        "failures_in_a_row": failures,
    }
    facts = _said(event, "run", finished.tenant, finished.stream, finished.finished_at, key)
    facts |= {
        "schedule": finished.schedule,
        "stream": finished.stream,
        "run": run,
        "detail": {},
        "what": _what_of_run(finished, event, failures),
        "where": _where(finished.tenant, finished.schedule, finished.due_at.isoformat()),
        "why": _why(finished),
        "next": _next_of_run(finished, event),
        "links": {"run": f"{public_url}/api/v1/runs/{finished.run_id}"},
    }
    return Event(
        event,
        finished.finished_at,
        finished.tenant,
        facts,
        key,
        finished.schedule,
        (finished.stream,),
        None,
        finished.run_id,
    )


def _where(tenant: str, schedule: str | None, due_at: str | None = None) -> str:
    parts = [
        f"tenant {tenant}",
        f"schedule {schedule}" if schedule else "",
        f"due {due_at}" if due_at else "",
    ]
    return ", ".join(part for part in parts if part)


def _what_of_run(finished: RunFinished, event: str, failures: int) -> str:
    counts = finished.counts
    brought = f"{_counted(counts.get('pages', 0), 'page')}, {_counted(counts.get('received', 0), 'record')}"
    match event:
        case "recovered":
            return f"{finished.stream} is well again after {_times(failures, 'failure')} ({brought})."
        case "failed":
            again = f", for the {_ordinal(failures)} time in a row" if failures > 1 else ""
            return f"The run of {finished.stream} failed{again} ({brought})."
        case "partial":
            return f"The run of {finished.stream} kept its rows, but did not see everything ({brought})."
        case "skipped":
            return f"A run of {finished.stream} was skipped."
    return f"The run of {finished.stream} {'was ' if event == 'cancelled' else ''}{event} ({brought})."


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _times(count: int, word: str) -> str:
    return f"one {word}" if count == 1 else f"{count} {word}s"


def _ordinal(number: int) -> str:
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _why(finished: RunFinished) -> str:
    if finished.error is not None:
        return f"{finished.error.kind}: {finished.error.message}"[:_MAX_WHY]
    parts = [finished.stop_reason or "", *finished.warnings]
    return ", ".join(part for part in parts if part) or "-"


_MENDS = {
    "http_401": "check the credentials of the source (`auth`)",
    "http_403": "check what the credentials of the source may do",
    "http_404": "check the path of the stream",
    "records_missing": "look at the answer with `headwater preview {stream}`, then mend `records.path`",
    "refused_address": "allow the address range in the source's network.allow, if it is meant",
    "stream_gone": "apply a manifest that has the stream, or remove it from the schedule",
}


def _next_of_run(finished: RunFinished, event: str) -> str:
    show = f"`headwater runs show {finished.run_id}`"
    if event == "failed":
        kind = finished.error.kind if finished.error is not None else ""
        mend = _MENDS.get(kind, "").replace("{stream}", finished.stream)
        return f"{mend + '; ' if mend else ''}see {show}; start it again with `headwater runs start {finished.stream}`"
    if event == "partial":
        return f"see {show} for its warnings; raise the limits of the stream, or run it again"
    return f"see {show}" if event in {"cancelled", "skipped"} else "nothing"


def of_happening(
    tenant: str, event: str, subject_kind: str, subject: str, at: datetime, detail: Mapping[str, Any], key: str,
    streams: tuple[str, ...], public_url: str,
) -> Event:  # fmt: skip
    """Something that is no end of a run. `streams` are those of the schedule that it concerns."""
    kind = "run" if event == "late" else subject_kind
    facts = _said(event, kind, tenant, subject, at, key)
    schedule = detail.get("schedule") if subject_kind == "run" else subject if kind == "schedule" else None
    stream = detail.get("stream")
    endpoint = subject if subject_kind == "endpoint" else None
    run = {"id": subject, **detail} if subject_kind == "run" else None
    what, why, following = _words(event, subject, detail)
    facts |= {
        "subject": stream if subject_kind == "run" and stream else subject,
        "schedule": schedule,
        "stream": stream,
        "endpoint": endpoint,
        "run": run,
        "detail": dict(detail),
        "what": what,
        "where": _where(tenant, schedule, detail.get("due_at"))
        + (f", endpoint {endpoint}" if endpoint else ""),
        "why": why[:_MAX_WHY],
        "next": following,
        "links": _links(subject_kind, subject, public_url),
    }
    return Event(
        event,
        at,
        tenant,
        facts,
        key,
        schedule,
        streams or ((stream,) if stream else ()),
        endpoint,
        UUID(subject) if subject_kind == "run" else None,
        detail.get("late_after_s"),
    )


def _links(kind: str, subject: str, public_url: str) -> dict[str, str]:
    if kind == "run":
        return {"run": f"{public_url}/api/v1/runs/{subject}"}
    if kind == "schedule":
        return {"runs": f"{public_url}/api/v1/runs?schedule={subject}"}
    if kind == "endpoint":
        return {"deliveries": f"{public_url}/api/v1/deliveries?endpoint={subject}"}
    return {"monitor": f"{public_url}/api/v1/monitor"}


def _words(event: str, subject: str, detail: Mapping[str, Any]) -> tuple[str, str, str]:
    """What happened, why, and what to do."""
    reason = str(detail.get("reason") or "-")
    since = detail.get("quiet_since") or detail.get("since") or "-"
    match event:
        case "late" if "next_at" in detail:
            return (
                f"Schedule {subject} was due at {detail['next_at']} and has not fired.",
                "no timer is at work, or it does not come along",
                "look at the timer: `headwater monitor`",
            )
        case "late":
            waits, since_due = detail.get("waits_for"), f"{detail.get('age_s')} s after it was due"
            return (
                f"The run of {detail.get('stream')} is late: {detail.get('state')} {since_due}.",
                str(waits) if waits else "it waits or works for longer than it used to",
                f"see `headwater runs show {subject}`; cancel it with `headwater runs cancel {subject}`",
            )
        case "auto_disabled":
            return (
                f"Schedule {subject} was switched off after too many failures.",
                reason,
                f"mend the cause, then `headwater schedules enable {subject}`",
            )
        case "expired":
            return (
                f"Schedule {subject} is over.",
                reason,
                "remove it, or give it a later `ends_at` or more `max_runs`",
            )
        case "error":
            return (
                f"The times of schedule {subject} cannot be computed any more.",
                reason,
                "mend its specification and apply it",
            )
        case "silence" if "last_success_at" in detail:
            return (
                f"Schedule {subject} had no success since {detail['last_success_at']}.",
                f"longer than its limit of {detail.get('limit_s')} s, three times its longest pause of late",
                f"see `headwater runs list --schedule {subject}`",
            )
        case "silence":
            limit = detail.get("limit_s")
            return (
                f"Endpoint {subject} has heard nothing since {since}.",
                f"quiet for longer than its limit of {limit} s",
                "look whether the sender still sends, and where to",
            )
        case "silence_over":
            return f"Endpoint {subject} hears again.", "a delivery came in", "nothing"
        case "refusals":
            return (
                f"Endpoint {subject} refuses too much: {detail.get('refused')} of {detail.get('requests')} requests.",
                f"more than its share of {detail.get('limit_rate')}",
                f"see `headwater refusals list --endpoint {subject}`",
            )
        case "refusals_over":
            return f"Endpoint {subject} refuses no more than usual again.", "-", "nothing"
        case "dead_letter":
            return (
                f"A message was given up: {detail.get('type')} of queue {detail.get('queue')}.",
                reason,
                "see `headwater dead-letters list`; replay or discard it",
            )
    return f"{event}: {subject}", reason, "-"


def of_test(tenant: str, notification: str, at: datetime, key: str, public_url: str) -> Event:
    """A trial, asked for by somebody."""
    facts = _said("test", "notification", tenant, notification, at, key)
    facts |= {
        "run": None,
        "detail": {},
        "what": f"This is a test of notification {notification}.",
        "where": _where(tenant, None),
        "why": "somebody asked for it",
        "next": "nothing: it works",
        "links": {"notification": f"{public_url}/api/v1/notifications/{notification}"},
    }
    return Event("test", at, tenant, facts, key)


def words_for(rule: Notification | None, event: Event) -> dict[str, Any]:
    """Subject, text and facts: the content of a notification."""
    subject = render((rule and rule.subject) or SUBJECT, event.facts)
    text = render((rule and rule.text) or TEXT, event.facts)
    if rule is None or rule.text is None:
        text += (
            "".join(f"\n{name.capitalize()}: {link}" for name, link in event.facts["links"].items()) + "\n"
        )
    return {"subject": " ".join(subject.split())[:500], "text": text, "facts": dict(event.facts)}
