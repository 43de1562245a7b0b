"""The rows of the route table about notifications (rules, what was sent, attempts) and the monitor."""

from headwater.control import monitor, notification_changes, notifications, retention
from headwater.control.documents import Part
from headwater.control.frame import API
from headwater.control.paging import ListQuery, Page
from headwater.control.route import Route

_ALL = f"{API}/notifications"
_ONE = f"{_ALL}/{{notification}}"
_SENT = f"{_ALL}/deliveries"


def notification_rows() -> tuple[Route, ...]:
    """Every row that is about notifications. Those of `deliveries` stand before what would take it for a name."""
    document = Part
    seen = notifications.NotificationSeen
    return (
        Route("GET", f"{API}/tenants/{{tenant}}/retention", retention.show_retention,
              "How long history is kept", "read", retention.RetentionSeen, tag="tenants"),
        Route("PUT", f"{API}/tenants/{{tenant}}/retention", retention.set_retention,
              "Say how long a tenant's history is kept", "admin", retention.RetentionSeen, body=retention.Retention,
              tag="tenants"),
        Route("GET", f"{API}/monitor", monitor.show_monitor, "What is wrong, since when, and what to do", "read",
              monitor.Monitor, tag="monitor"),

        Route("GET", _SENT, notifications.list_sent, "What was sent and what waits, newest first", "read",
              Page[notifications.Sent], query=notifications.SentQuery, tag="notifications"),
        Route("GET", f"{_SENT}/{{sent}}", notifications.show_sent, "One notification that was sent, with its attempts",
              "read", notifications.SentDetail, tag="notifications"),
        Route("POST", f"{_SENT}/{{sent}}/redeliver", notifications.redeliver_sent, "Send it again under its own id",
              "run", notifications.Sent, tag="notifications", problems=(409,)),

        Route("GET", _ALL, notifications.list_notifications, "Who is told of what", "read",
              Page[notifications.NotificationSeen], query=ListQuery, tag="notifications"),
        Route("POST", _ALL, notification_changes.create_notification, "Make a notification", "write", seen,
              body=document, status=201, tag="notifications", problems=(409,)),
        Route("GET", _ONE, notification_changes.show_notification, "One notification", "read", seen, matched=True,
              tag="notifications"),
        Route("PUT", _ONE, notification_changes.put_notification, "Replace a notification, or make it", "write", seen,
              body=document, matched=True, also=201, tag="notifications"),
        Route("PATCH", _ONE, notification_changes.patch_notification, "Change parts of a notification (merge patch)",
              "write", seen, body=document, matched=True, tag="notifications"),
        Route("DELETE", _ONE, notification_changes.remove_notification, "Remove a notification; what it sent stays",
              "write", None, query=notification_changes.DeleteQuery, status=204, matched=True, tag="notifications",
              problems=(409,)),
        Route("POST", f"{_ONE}/enable", notification_changes.enable_notification,
              "Tell again, also targets that were gone", "write", seen, matched=True, tag="notifications"),
        Route("POST", f"{_ONE}/disable", notification_changes.disable_notification, "Tell nobody", "write", seen,
              matched=True, tag="notifications"),
        Route("POST", f"{_ONE}/test", notifications.test_notification,
              "Send a test to every target now, and show what they answer", "run", notifications.NotificationTest,
              tag="notifications"),
    )  # fmt: skip
