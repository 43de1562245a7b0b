"""What is around every page: head, navigation, what was just done; and pages that stand alone."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from headwater.control.problems import SAFE_HEADERS, Refusal
from headwater.control.route import Scope
from headwater.control.ui.markup import NOTHING, Content, Markup, element, text
from headwater.control.ui.parts import link, note, quiet
from headwater.control.ui.sheet import TOKEN, hidden, told
from headwater.control.ui.style import STYLE, content_policy
from headwater.control.ui.visit import ROOT, View, Visit

SECTIONS: Final[tuple[tuple[str, str, Scope], ...]] = (
    ("", "Overview", "read"),
    ("streams", "Streams", "read"),
    ("runs", "Runs", "read"),
    ("schedules", "Schedules", "read"),
    ("calendars", "Calendars", "read"),
    ("endpoints", "Endpoints", "read"),
    ("deliveries", "Deliveries", "read"),
    ("refusals", "Refusals", "read"),
    ("dead-letters", "Dead letters", "read"),
    ("destinations", "Destinations", "read"),
    ("notifications", "Notifications", "read"),
    ("secrets", "Secrets", "read"),
    ("audit", "Audit", "admin"),
)
_TITLES: Final[Mapping[int, str]] = {
    400: "Not readable",
    403: "Not allowed",
    404: "Not found",
    409: "Not possible now",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Not readable",
    422: "Not valid",
    500: "Something went wrong",
    503: "Not now",
}
# What an address may say was done: words of ours, never those of the address.
DONE: Final[Mapping[str, str]] = {
    "started": "Started. It waits for its turn, then runs.",
    "started-many": "Started: one run for each stream.",
    "cancelled": "Cancelled. What was loaded stays; nothing more is.",
    "enabled": "Enabled.",
    "disabled-endpoint": "Disabled. Senders get 404.",
    "disabled": "Disabled. Runs that wait or run go on.",
    "paused": "Paused. Runs that wait or run go on.",
    "resumed": "Resumed. What was due meanwhile is left out.",
    "reset": "Failures in a row are counted anew.",
    "replay": "It is done again from its original bytes.",
    "backfill": "Asked for. This page tells how far it is.",
    "backfill-cancelled": "Cancelled, with its runs that had not ended.",
    "replay-all": "Asked for. This page tells how far it is.",
    "replay-cancelled": "Cancelled. What was done stays.",
    "replayed": "It goes its way again.",
    "discarded": "Discarded.",
    "applied": "Applied. Runs admitted from now on, and the next webhooks, follow it.",
    "applied-calendar": "Applied. Schedules that name it are computed anew.",
    "applied-notification": "Applied. What happens from now on is told so.",
    "redelivered": "It is sent again, under its own id.",
}


def shown(visit: Visit, view: View) -> web.Response:
    """The page with all that is around it."""
    done = DONE.get(visit.query.get("done", ""))
    said = NOTHING if done is None else element("p", done, class_="note good", role="status")
    body = text((_head(visit, view.section), element("main", said, view.body)))
    refresh = None if view.refresh_s is None else f"{view.refresh_s};url={visit.here()}"
    return document(f"{view.title} · {visit.tenant}", body, status=view.status, refresh=refresh)


def _head(visit: Visit, section: str | None) -> Markup:
    caller = visit.acting.caller
    tenant: Content = visit.tenant
    if caller.is_global:
        tenant = link(f"{ROOT}/", visit.tenant)
    top = element(
        "div",
        link("/", element("b", "headwater")),
        element("span", quiet("tenant "), tenant),
        element("span", quiet(caller.actor), logout(visit.session.token), class_="end"),
    )
    items = [
        link_to(visit.link(path) if path else visit.link(), title, is_here=path == section)
        for path, title, scope in SECTIONS
        if visit.may(scope)
    ]
    return element("header", top, element("nav", items, aria_label="Sections"))


def link_to(where: str, title: str, *, is_here: bool) -> Markup:
    return element("a", title, href=where, aria_current="page" if is_here else None)


def logout(token: str) -> Markup:
    """The button that ends the session."""
    return element(
        "form",
        hidden(TOKEN, token),
        element("button", "Log out", type="submit"),
        method="post",
        action=f"{ROOT}/logout",
        class_="bare",
    )


def alone(title: str, *content: Content, status: int = 200, refresh: str | None = None) -> web.Response:
    """A page outside of any tenant."""
    return document(title, element("main", *content), status=status, refresh=refresh)


def refusal_view(refusal: Refusal, back: str | None) -> View:
    """What a page says that cannot be shown; `back` is the same page without what was asked of it."""
    title = _TITLES.get(refusal.status, HTTPStatus(refusal.status).phrase)
    body = (
        element("h1", title),
        note(refusal.detail, tone="bad"),
        element("ul", [element("li", told(fault)) for fault in refusal.faults])
        if refusal.faults
        else NOTHING,
        NOTHING if back is None else element("p", link(back, "The page without these filters")),
        element("p", link(f"{ROOT}/", "To the overview")),
    )
    return View(title, text(body), status=refusal.status)


def refused(refusal: Refusal) -> web.Response:
    """The same as a page that stands alone."""
    view = refusal_view(refusal, None)
    response = alone(view.title, view.body, status=view.status)
    for name in ("Retry-After", "Connection"):
        if name in refusal.headers:
            response.headers[name] = refusal.headers[name]
    return response


def document(title: str, body: Markup, *, status: int = 200, refresh: str | None = None) -> web.Response:
    """The whole document; its policy lets forms go here where there are any."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", f"{title} · headwater"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        NOTHING if refresh is None else element("meta", http_equiv="refresh", content=refresh),
        element("style", Markup(STYLE)),
    )
    page = "<!doctype html>" + element("html", head, element("body", body), lang="en")
    headers = {
        **SAFE_HEADERS,
        "Content-Security-Policy": content_policy(has_forms="<form" in body),
        # Pages of ours see where a form came from; nobody else does.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return web.Response(
        status=status, body=page.encode(), headers=headers, content_type="text/html", charset="utf-8"
    )


def moved(where: str) -> web.Response:
    """Go there, by GET."""
    return web.Response(status=303, headers={**SAFE_HEADERS, "Location": where})
