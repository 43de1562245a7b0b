"""The web UI as aiohttp routes."""

from collections.abc import Sequence

from aiohttp import web

from headwater.control.route import Desk, Route
from headwater.control.ui.accounts import Accounts
from headwater.control.ui.rows import page_rows
from headwater.control.ui.site import Site, nothing
from headwater.control.ui.visit import ROOT, Table


def ui_routes(desk: Desk, routes: Sequence[Route]) -> list[web.RouteDef]:
    """Every page and deed; `routes` is the API's table, by which all of them look and act."""
    table: Table = {(route.method, route.path): route for route in routes}
    site = Site(desk, table)
    return [
        *Accounts(site, table).route_defs(),
        *site.route_defs(page_rows()),
        web.route("*", f"{ROOT}/{{rest:.*}}", site.around(nothing)),
    ]
