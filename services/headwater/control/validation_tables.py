"""Checks of the tables that streams and endpoints load: what loads one table, under whatever name, has to agree how."""

from collections.abc import Collection, Iterator, Mapping
from urllib.parse import urlsplit

from headwater.contracts.destination import Destination
from headwater.contracts.destinations import OWN, NamedDestination
from headwater.contracts.manifest import Manifest
from headwater.control.finding import Finding, Path, Surroundings
from headwater.control.validation_sources import destinations_of
from headwater.plugins.destinations.children import child_name
from headwater.plugins.destinations.once import NOTES

_TOGETHER = ("mode", "key", "order_by", "contract", "soft_delete", "deleted_field", "children")
_Place = tuple[str, str]  # whose database and schema, table


def in_tables(manifest: Manifest, around: Surroundings) -> Iterator[Finding]:
    """Two that write to one table must agree how, and none of them may stand for all of its rows."""
    databases = {**(around.destinations or {}), **{one.name: one for one in manifest.destinations}}
    here = [(path, name, each) for path, name, each in destinations_of(manifest) if each.table is not None]
    first: dict[_Place, tuple[str, Destination]] = {}
    for holder, held in around.loading:
        first.setdefault(_place(databases, held), (holder, held))
    known = [*around.loading, *((name, each) for _, name, each in here)]
    parents = _parents(databases, known)
    elsewhere = _parents(databases, around.loading)
    tables = {_place(databases, each): name for name, each in known}
    for path, name, each in here:
        place = _place(databases, each)
        yield from _in_names(path, place, elsewhere)
        yield from _in_children(path, each, place, parents, tables)
        holder, held = first.setdefault(place, (name, each))
        if held is not each:
            yield from _together(path, each, holder, held)


def named_with(tables: Collection[str], children: Collection[tuple[str, str]]) -> set[str]:
    """The tables that may get in the way of `tables` and the `children` (table, field) of them: these, and those whose
    children they may be.
    """
    found = {*tables, *(child_name(table, field) for table, field in children)}
    for name in tuple(found):
        words = name.split("__")
        found |= {"__".join(words[:size]) for size in range(1, len(words))}
    return found


def _parents(
    databases: Mapping[str, NamedDestination], known: Collection[tuple[str, Destination]]
) -> dict[_Place, dict[str, str]]:
    """For each child table the tables whose child it is, with who loads them."""
    found: dict[_Place, dict[str, str]] = {}
    for holder, each in known:
        database, table = _place(databases, each)
        for field in each.children:
            found.setdefault((database, child_name(table, field)), {}).setdefault(table, holder)
    return found


def _in_names(path: Path, place: _Place, parents: Mapping[_Place, Mapping[str, str]]) -> Iterator[Finding]:
    """`parents` are those besides the manifest: of two in it the parent is told."""
    database, table = place
    if table == NOTES and database != OWN:
        yield Finding(
            (*path, "table"), f"table {NOTES} of that database is headwater's own", "use another name"
        )
    for parent, holder in parents.get(place, {}).items():
        what = f"table {table} is a child table of {parent}, which {holder} loads"
        yield Finding((*path, "table"), what, "rename this table")


def _in_children(
    path: Path,
    destination: Destination,
    place: _Place,
    parents: Mapping[_Place, Mapping[str, str]],
    tables: Mapping[_Place, str],
) -> Iterator[Finding]:
    database, table = place
    for index, field in enumerate(destination.children):
        child = (database, child_name(table, field))
        if child in tables:
            what = f"its child table {child[1]} is another destination's table, which {tables[child]} loads"
            yield Finding((*path, "children", index), what, "rename that table")
        for parent, holder in parents.get(child, {}).items():
            if parent != table:
                what = f"its child table {child[1]} is one of {parent} too, which {holder} loads"
                yield Finding((*path, "children", index), what, "rename one of the tables")


def _together(path: Path, destination: Destination, holder: str, held: Destination) -> Iterator[Finding]:
    other = next((part for part in _TOGETHER if getattr(held, part) != getattr(destination, part)), None)
    if other is not None:
        yield Finding(
            path,
            f"table {destination.table} is loaded by {holder} in mode {_manner(held)}, "
            f"here in mode {_manner(destination)}: {other} differs",
            "give both the same mode, key and options, or name another table",
        )
    elif destination.mode == "replace" or {held.delete_missing, destination.delete_missing} != {None}:
        yield Finding(
            path,
            f"table {destination.table} is loaded by {holder} too, and each would take the other's rows away",
            "name another table, or use mode merge without delete_missing",
        )


def _manner(destination: Destination) -> str:
    return f"{destination.mode} by {', '.join(destination.key)}" if destination.key else destination.mode


def _place(databases: Mapping[str, NamedDestination], destination: Destination) -> _Place:
    """The table, whatever name its database has here. What secrets hide is told apart by how it is written."""
    one = databases.get(destination.to)
    if one is None or not one.is_far:
        return OWN, destination.table or ""
    return f"{_address(one.url or '')}\0{one.table_schema}", destination.table or ""


def _address(url: str) -> str:
    """Which database `url` leads to, whoever asks: host, port and name."""
    if "${" in url.rpartition("@")[2]:
        return url
    try:
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2].lower()
    except ValueError:
        return url
    hosts = ",".join(
        host if host.rpartition(":")[2].isdigit() else f"{host}:5432" for host in netloc.split(",")
    )
    return f"{hosts}/{parts.path.strip('/')}"
