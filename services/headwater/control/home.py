"""The front page: what runs here, how it is, and where to go. No key is needed; nothing of a tenant shows."""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any, Literal

import headwater
from headwater.control.frame import API
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.model.errors import Unavailable
from headwater.store import dead_letters, deliveries, runs
from headwater.store.database import Database

CHECK_S = 2.0  # longer is as good as away
LINKS: Mapping[str, str] = {
    "ui": "/ui/",
    "api": f"{API}/",
    "docs": "/docs",
    "openapi": f"{API}/openapi.json",
    "health": "/healthz",
    "ready": "/readyz",
    "metrics": "/metrics",
}


class Health(Answer):
    """`ok`, or what is missing."""

    status: Literal["ok", "degraded"]
    database: str
    bus: str


class Counts(Answer):
    """Over all tenants: runs and deliveries of the last day by state, dead letters that wait for somebody."""

    runs: dict[str, int]
    deliveries: dict[str, int]
    dead_letters: int


class Home(Answer):
    """`counts` is null while the database is away."""

    name: Literal["headwater"] = "headwater"
    version: str
    health: Health
    counts: Counts | None
    links: dict[str, str]


class Overview:
    """Asks at most once in `KEPT_S`, however many look at the page."""

    KEPT_S = 2.0

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._asked_at: float | None = None
        self._known: dict[str, Any] = {}

    async def look(self, desk: Desk) -> dict[str, Any]:
        """Health and counts, at most `KEPT_S` old."""
        async with self._lock:
            now = desk.clock.monotonic()
            if self._asked_at is None or now - self._asked_at >= self.KEPT_S:
                self._known = {"health": await health_of(desk), "counts": await _counts(desk.worker)}
                self._asked_at = desk.clock.monotonic()
            return self._known


async def health_of(desk: Desk) -> dict[str, str]:
    """Whether database and bus answer."""
    database, bus = await asyncio.gather(_fault(desk.database.check()), _fault(desk.bus.check()))
    status = "ok" if database is None and bus is None else "degraded"
    return {"status": status, "database": database or "ok", "bus": bus or "ok"}


async def _fault(check: Any) -> str | None:
    """Why not, in words that tell nothing about the inside."""
    try:
        async with asyncio.timeout(CHECK_S):
            await check
    except Unavailable:
        return "not at hand"
    except TimeoutError:
        return f"no answer within {CHECK_S:g} s"
    return None


async def _counts(worker: Database) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(CHECK_S), worker.connection() as connection:
            return {
                "runs": await runs.count_by_state(connection),
                "deliveries": await deliveries.count_by_state(connection),
                "dead_letters": await dead_letters.count_open(connection),
            }
    except (Unavailable, TimeoutError):
        return None


def make_home(overview: Overview) -> Any:
    """The handler of `/`."""

    async def show_home(desk: Desk, call: Call[NoQuery, None]) -> Reply:
        document = {"version": headwater.__version__, "links": dict(LINKS), **await overview.look(desk)}
        if prefers_html(call.headers.get("Accept", "")):
            return page("headwater", _home_html(document), vary=True)
        return Reply(document, headers={"Vary": "Accept"})

    return show_home


def make_health(overview: Overview) -> Any:
    """The handler of `/health`. Always 200: who wants a status to act on asks /readyz."""

    async def show_health(desk: Desk, _: Call[NoQuery, None]) -> Reply:
        return Reply((await overview.look(desk))["health"])

    return show_health


def prefers_html(accept: str) -> bool:
    """Whether an Accept header likes text/html better than JSON (RFC 9110 §12.5.1)."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = [piece.strip().lower() for piece in part.split(";")]
        weights[kind] = next((_weight(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
    general = weights.get("*/*", 0.0)
    html = weights.get("text/html", weights.get("text/*", general))
    json = weights.get("application/json", weights.get("application/*", general))
    return html > json


def _weight(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "body{color:#1b2430;background:#fff}"
    "h1{margin-bottom:0}table{border-collapse:collapse;margin:.5rem 0 1.5rem}"
    "td,th{text-align:left;padding:.2rem 1.2rem .2rem 0;vertical-align:top}"
    "code{font-family:ui-monospace,monospace;font-size:.95em}.quiet{color:#5b6775}"
    "@media(prefers-color-scheme:dark){body{background:#12161c;color:#dfe6ee}a{color:#8ab8ff}.quiet{color:#94a1b0}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(title: str, body: str, *, vary: bool = False) -> Reply:
    """A page without scripts; `body` is HTML whose texts are escaped."""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{body}</body></html>'
    )
    headers = {"Content-Security-Policy": CONTENT_POLICY} | ({"Vary": "Accept"} if vary else {})
    return Reply(raw=text.encode(), content_type="text/html; charset=utf-8", headers=headers)


def _home_html(document: Mapping[str, Any]) -> str:
    health, counts = document["health"], document["counts"] or {}
    rows = [("database", health["database"]), ("bus", health["bus"])]
    rows += [(f"runs {state}", count) for state, count in sorted(counts.get("runs", {}).items())]
    rows += [(f"deliveries {state}", count) for state, count in sorted(counts.get("deliveries", {}).items())]
    rows += [("dead letters", counts["dead_letters"])] if counts else []
    links = "".join(
        f'<li><a href="{escape(link)}">{escape(name)}</a></li>' for name, link in document["links"].items()
    )
    table = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in rows)
    return (
        f'<h1>headwater</h1><p class="quiet">version {escape(document["version"])} · {escape(health["status"])}</p>'
        f"<table>{table}</table><ul>{links}</ul>"
    )
