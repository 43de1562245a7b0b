"""`schedules`, `calendars` and the due times of `preview`: ask, and show the answer."""

import argparse
from datetime import datetime
from typing import Any

from headwater.cli.asking import Counter, Verb, given, moment, open_counter, show, show_list
from headwater.cli.exits import Exit
from headwater.cli.faults import NotFound
from headwater.cli.printing import form_of, print_fields, print_table
from headwater.cli.reading import read_text
from headwater.contracts.manifest import Manifest
from headwater.control import calendar_changes, schedule_changes, schedule_preview, schedules
from headwater.control.documents import Part
from headwater.control.paging import ListQuery
from headwater.model.errors import ConfigError
from headwater.model.schedule import ScheduleError
from headwater.settings import Settings


async def execute_schedules(chosen: argparse.Namespace, settings: Settings) -> int:
    """Run one verb of these commands."""
    async with open_counter(chosen, settings) as counter:
        return await _VERBS[chosen.command][chosen.verb](chosen, counter)


def is_own(chosen: argparse.Namespace) -> bool:
    """Whether the verb is one of these; those that change the state of a schedule stand elsewhere."""
    return chosen.verb in _VERBS[chosen.command]


def is_about_times(chosen: argparse.Namespace) -> bool:
    """Whether `preview` is asked for due times and not for pages."""
    named = any((chosen.cron, chosen.interval, chosen.once, chosen.preset, chosen.schedule))
    return named or (
        chosen.stream is not None and (" " in chosen.stream.strip() or chosen.stream.startswith("@"))
    )


async def preview_times(chosen: argparse.Namespace, settings: Settings, manifest: Manifest | None) -> int:
    """The next due times of what the options say, of a schedule in the manifest, or of a stored one."""
    crons = [*chosen.cron, *([chosen.stream] if chosen.stream else [])]
    has_times = any((crons, chosen.interval, chosen.once, chosen.preset))
    if manifest is not None and chosen.schedule and not has_times:
        return _show_preview(chosen, _of_manifest(chosen, manifest))
    if chosen.schedule and not has_times:
        async with open_counter(chosen, settings) as counter:
            return await _next_runs(argparse.Namespace(**{**vars(chosen), "name": chosen.schedule}), counter)
    wanted = given(
        schedule_preview.PreviewRequest,
        crons=crons or None,
        interval=chosen.interval,
        once=chosen.once,
        preset=chosen.preset,
        timezone=chosen.timezone,
        day_match=chosen.day_match,
        exclude=chosen.exclude or None,
        on_excluded=chosen.on_excluded,
        schedule=chosen.schedule,
        after=moment(chosen.after),
        count=chosen.count,
    )
    if any(hasattr(item, "calendar") for item in wanted.exclude):
        async with open_counter(chosen, settings) as counter:
            value = await counter.ask(schedule_preview.preview_schedule, body=wanted)
        return _show_preview(chosen, _plain(value))
    key = f"{chosen.tenant}/{chosen.schedule}" if chosen.schedule else ""
    return _show_preview(
        chosen, _computed(wanted, key, {}, schedule_preview.Wanted(wanted.after, wanted.count))
    )


def _of_manifest(chosen: argparse.Namespace, manifest: Manifest) -> dict[str, Any]:
    for schedule in manifest.schedules:
        if schedule.name == chosen.schedule:
            if schedule.is_manual:
                raise ConfigError(f"schedule {schedule.name} has no times: it runs only when it is started")
            named = {calendar.name: calendar for calendar in manifest.calendars}
            count = given(schedule_preview.NextRunsQuery, count=chosen.count).count
            key = f"{manifest.tenant}/{schedule.name}"
            wanted = schedule_preview.Wanted(moment(chosen.after), count, schedule.max_runs)
            return _computed(schedule, key, named, wanted)
    raise NotFound(f"the manifest has no schedule {chosen.schedule!r}")


def _computed(times: Any, key: str, calendars: Any, wanted: schedule_preview.Wanted) -> dict[str, Any]:
    from headwater.app.clock import SystemClock  # noqa: PLC0415 - only this needs it

    try:
        found = schedule_preview.preview_of(times, key, calendars, SystemClock().now(), wanted)
    except ScheduleError as error:
        place = "" if error.specification == error.field else f"{error.specification}: "
        raise ConfigError(f"{place}{error}") from error
    except OverflowError:
        raise ConfigError("--after: is out of the range of time") from None
    return _plain(found)


def _plain(found: Any) -> dict[str, Any]:
    """The preview with its times as texts."""
    return schedule_preview.Preview.model_validate(found).model_dump(mode="json")


def _show_preview(chosen: argparse.Namespace, found: dict[str, Any]) -> int:
    if form_of(chosen) != "table":
        return show(chosen, found)
    print(found["description"])
    rows = [
        (
            datetime.fromisoformat(each["at"]).strftime("%a %Y-%m-%d %H:%M:%S%z"),
            each["utc"].replace("+00:00", "Z"),
            ", ".join(each["marks"]),
            each["begins_at"],
        )
        for each in found["next"]
    ]
    if any(each["begins_at"] for each in found["next"]):
        print_table(("at", "utc", "marks", "begins_at"), rows, empty="never")
    else:
        print_table(("at", "utc", "marks"), [row[:3] for row in rows], empty="no due time is left")
    for each in found["excluded"]:
        moved = (
            "left out" if each["on_excluded"] == "skip" else f"moved to the {each['on_excluded']} working day"
        )
        print(f"{moved}: {each['at']} ({each['calendar'] or 'exclude'})")
    for warning in found["warnings"]:
        print(f"warning: {warning}")
    return Exit.OK


async def _list_schedules(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(schedules.SchedulesQuery, state=chosen.state, limit=chosen.limit)
    items = await counter.listed(schedules.Schedule, schedules.list_schedules, query)
    columns = ("name", "state", "timing", "next_at", "last_due_at", "streams")
    return show_list(
        chosen, columns, items, empty="no schedules yet; `headwater apply` a manifest that has some"
    )


async def _show_schedule(chosen: argparse.Namespace, counter: Counter) -> int:
    found = await counter.shown(
        schedules.Schedule, schedule_changes.show_schedule, path={"schedule": chosen.name}
    )
    return show(chosen, found)


async def _next_runs(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(schedule_preview.NextRunsQuery, count=chosen.count, after=moment(chosen.after))
    path = {"schedule": chosen.name}
    value = await counter.ask(schedule_preview.next_runs, path=path, query=query)
    return _show_preview(chosen, _plain(value))


async def _delete_schedule(chosen: argparse.Namespace, counter: Counter) -> int:
    query = schedule_changes.Cascade(cascade=chosen.cascade)
    await counter.ask(schedule_changes.delete_schedule, path={"schedule": chosen.name}, query=query)
    print(f"schedule {chosen.name} is removed; its runs stay")
    return Exit.OK


async def _list_calendars(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(ListQuery, limit=chosen.limit)
    items = await counter.listed(calendar_changes.KeptCalendar, calendar_changes.list_calendars, query)
    return show_list(
        chosen, ("name", "description", "used_by", "updated_at"), items, empty="no calendars yet"
    )


async def _show_calendar(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"calendar": chosen.name}
    return show(
        chosen, await counter.shown(calendar_changes.KeptCalendar, calendar_changes.show_calendar, path=path)
    )


async def _calendar_days(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(calendar_changes.DaysQuery, since=chosen.since, until=chosen.until)
    path = {"calendar": chosen.name}
    found = await counter.shown(calendar_changes.Days, calendar_changes.calendar_days, path=path, query=query)
    if form_of(chosen) != "table":
        return show(chosen, found)
    print("\n".join(found["days"]) or "no day is left out")
    return Exit.OK


async def _import_calendar(chosen: argparse.Namespace, counter: Counter) -> int:
    wanted: dict[str, Any] = {"ics": read_text(chosen.file)}
    if chosen.on_excluded is not None:
        wanted["on_excluded"] = chosen.on_excluded
    path = {"calendar": chosen.name}
    try:
        await counter.ask(calendar_changes.show_calendar, path=path)
        change = calendar_changes.patch_calendar
    except NotFound:
        change = calendar_changes.put_calendar
    found = await counter.shown(
        calendar_changes.KeptCalendar, change, path=path, body=Part.model_validate(wanted)
    )
    if form_of(chosen) != "table":
        return show(chosen, found)
    print_fields({"name": found["name"], "used_by": found["used_by"] or "-"})
    for note in found["notes"]:
        print(f"note: {note}")
    return Exit.OK


async def _delete_calendar(chosen: argparse.Namespace, counter: Counter) -> int:
    query = schedule_changes.Cascade(cascade=chosen.cascade)
    await counter.ask(calendar_changes.delete_calendar, path={"calendar": chosen.name}, query=query)
    print(f"calendar {chosen.name} is removed")
    return Exit.OK


_VERBS: dict[str, dict[str, Verb]] = {
    "schedules": {
        "list": _list_schedules,
        "show": _show_schedule,
        "next-runs": _next_runs,
        "delete": _delete_schedule,
    },
    "calendars": {
        "list": _list_calendars,
        "show": _show_calendar,
        "days": _calendar_days,
        "import": _import_calendar,
        "delete": _delete_calendar,
    },
}
