"""`/docs`: the route table as a page of its own, without scripts or anything from elsewhere."""

from collections.abc import Sequence
from html import escape

from headwater.control.frame import API
from headwater.control.home import page
from headwater.control.route import NoQuery, Reply, Route


def docs_page(routes: Sequence[Route]) -> Reply:
    """One table for each tag; what a body or a parameter looks like stands in the OpenAPI document."""
    parts = [
        "<h1>headwater API</h1>",
        "<p>Send a key as <code>X-API-Key</code> or <code>Authorization: Bearer</code>.</p>",
        f'<p>All shapes: <a href="{API}/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>',
    ]
    for tag in dict.fromkeys(route.tag for route in routes):
        rows = "".join(_row(route) for route in routes if route.tag == tag)
        head = "<tr><th>Call</th><th>What it does</th><th>Scope</th></tr>"
        parts.append(f"<h2>{escape(tag.capitalize())}</h2><table>{head}{rows}</table>")
    return page("headwater API", "".join(parts))


def _row(route: Route) -> str:
    query = "" if route.query is NoQuery else "?" + "&".join(route.query.model_fields)
    call = f"{route.method} {route.path}{query}"
    return (
        f"<tr><td><code>{escape(call)}</code></td><td>{escape(route.summary)}</td>"
        f"<td>{escape(route.scope or 'none')}</td></tr>"
    )
