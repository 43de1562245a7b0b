"""Checks of destinations with a name, and of the streams and endpoints that name them."""

from collections.abc import Iterator, Mapping

from headwater.contracts.destination import Destination
from headwater.contracts.destinations import OWN, NamedDestination
from headwater.contracts.manifest import Manifest
from headwater.control.finding import Finding, Path, Surroundings
from headwater.control.validation_sources import destinations_of, twice
from headwater.model.names import DEFAULT_TENANT
from headwater.plugins.destinations.messages import template_fault

_OF_TABLES = (
    "table", "mode", "order_by", "contract", "soft_delete", "deleted_field", "delete_missing", "children",
)  # fmt: skip
_RESERVED = ("headwater", "amq.")


def in_destinations(manifest: Manifest, around: Surroundings) -> Iterator[Finding]:
    """What is wrong with the manifest's destinations, and with what names them."""
    yield from twice(("destinations",), [one.name for one in manifest.destinations], "destination")
    for index, one in enumerate(manifest.destinations):
        yield from in_destination(("destinations", index), manifest.tenant, one, around)
        if users := around.turned.get(one.name):  # their runs would be half here and half there
            what = f"its kind, and whose database it is, cannot change while it is used by {', '.join(users)}"
            yield Finding(("destinations", index), what, "give the new one another name, and name that")
    known = {one.name: one for one in manifest.destinations}
    for path, _, destination in destinations_of(manifest):
        yield from _use(path, destination, known, around)


def in_destination(path: Path, tenant: str, one: NamedDestination, around: Surroundings) -> Iterator[Finding]:
    """What is wrong with one destination of the tenant."""
    if one.kind != "amqp":
        return
    fault = template_fault(one)
    if fault is not None:
        yield Finding((*path, "routing_key"), *fault)
    if one.url is not None:
        return
    exchange = one.exchange or ""
    if around.has_broker is False:
        what = "kind amqp needs a broker, and headwater's bus here is PostgreSQL"
        yield Finding((*path, "kind"), what, "give it a `url`, or run headwater with HEADWATER_AMQP_URL")
    if exchange.startswith(_RESERVED):
        what = f"exchange {exchange!r} of headwater's own broker is not for records"
        yield Finding((*path, "exchange"), what, "use another one, or give a `url` with a user of your own")
    elif tenant != DEFAULT_TENANT and not exchange.startswith(f"{tenant}."):
        what = f"on headwater's own broker the exchanges of this tenant begin with {tenant + '.'!r}"
        yield Finding((*path, "exchange"), what, f"write {tenant}.{exchange}, or give a `url`")


def _use(
    path: Path, destination: Destination, known: Mapping[str, NamedDestination], around: Surroundings
) -> Iterator[Finding]:
    """What is wrong with a use of a destination."""
    if destination.to == OWN:
        return
    one = known.get(destination.to) or (around.destinations or {}).get(destination.to)
    if one is None:
        if around.destinations is not None or known:
            what = f"there is no destination {destination.to}"
            mend = "define it under `destinations`, correct the name, or leave `to` out for headwater's own database"
            yield Finding((*path, "to"), what, mend)
        return
    if one.kind == "postgres":
        if destination.table is None:
            yield Finding(path, "needs `table`: the table that the records go to", "add it")
        if one.is_far and path[0] == "endpoints":
            what = f"destination {one.name} is another database, which takes the records of streams only"
            mend = "leave `to` out for a table of headwater's own database, or name an exchange"
            yield Finding((*path, "to"), what, mend)
        return
    for name in _OF_TABLES:
        if name in destination.model_fields_set:
            what = f"destination {one.name} is an exchange: records become messages, and `{name}` says nothing there"
            yield Finding((*path, name), what, "leave it out")
    if one.message == "page" and destination.key:
        yield Finding(
            (*path, "key"), f"destination {one.name} sends pages, which have no key", "leave it out"
        )
