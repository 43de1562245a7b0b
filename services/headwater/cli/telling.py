"""`notifications`: who is told of what, what was sent, and tests."""

import argparse

from headwater.cli.asking import Counter, Verb, given, moment, open_counter, show, show_list
from headwater.cli.exits import Exit
from headwater.cli.printing import form_of
from headwater.control import notification_changes, notifications
from headwater.control.paging import ListQuery
from headwater.settings import Settings


async def execute_notifications(chosen: argparse.Namespace, settings: Settings) -> int:
    """Run one verb."""
    async with open_counter(chosen, settings) as counter:
        return await _VERBS[chosen.verb](chosen, counter)


async def _list(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(ListQuery, limit=chosen.limit)
    items = await counter.listed(notifications.NotificationSeen, notifications.list_notifications, query)
    if form_of(chosen) == "table":
        for item in items:
            item["targets"] = [f"{each['type']} {each['address']}" for each in item["targets"]]
    columns = ("name", "enabled", "events", "targets", "updated_at")
    return show_list(
        chosen, columns, items, empty="no notifications; a manifest's list `notifications` has them"
    )


async def _show(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"notification": chosen.notification}
    handler = notification_changes.show_notification
    return show(chosen, await counter.shown(notifications.NotificationSeen, handler, path=path))


async def _enable(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"notification": chosen.notification}
    handler = notification_changes.enable_notification
    return show(chosen, await counter.shown(notifications.NotificationSeen, handler, path=path))


async def _disable(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"notification": chosen.notification}
    handler = notification_changes.disable_notification
    return show(chosen, await counter.shown(notifications.NotificationSeen, handler, path=path))


async def _delete(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(notification_changes.DeleteQuery, cascade=chosen.cascade)
    path = {"notification": chosen.notification}
    await counter.ask(notification_changes.remove_notification, path=path, query=query)
    if form_of(chosen) == "table":
        print(f"notification {chosen.notification} is removed")
    return Exit.OK


async def _test(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"notification": chosen.notification}
    found = await counter.shown(notifications.NotificationTest, notifications.test_notification, path=path)
    if form_of(chosen) == "table":
        columns = ("type", "address", "ok", "status", "error", "answer", "duration_s")
        show_list(chosen, columns, found["results"], empty="it has no targets")
    else:
        show(chosen, found)
    return Exit.OK if found["ok"] else Exit.FAILURE


async def _deliveries(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(
        notifications.SentQuery,
        notification=chosen.notification,
        state=chosen.state,
        event=chosen.event and chosen.event.replace("-", "_"),
        schedule=chosen.schedule,
        since=moment(chosen.since),
        limit=chosen.limit,
    )
    items = await counter.listed(notifications.Sent, notifications.list_sent, query)
    columns = (
        "id", "notification", "event", "state", "attempts", "type", "address", "created_at", "next_at", "last_error",
    )  # fmt: skip
    return show_list(chosen, columns, items, empty="nothing was sent")


async def _delivery(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"sent": chosen.sent}
    return show(chosen, await counter.shown(notifications.SentDetail, notifications.show_sent, path=path))


async def _redeliver(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"sent": chosen.sent}
    return show(chosen, await counter.shown(notifications.Sent, notifications.redeliver_sent, path=path))


_VERBS: dict[str, Verb] = {
    "list": _list,
    "show": _show,
    "enable": _enable,
    "disable": _disable,
    "delete": _delete,
    "test": _test,
    "deliveries": _deliveries,
    "delivery": _delivery,
    "redeliver": _redeliver,
}
