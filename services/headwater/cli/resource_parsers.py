"""The commands about sources, streams, tenants, keys, dead letters and the audit: their verbs and options."""

import argparse

from headwater.cli.options import limited, listing_of, one, output, verbs_of

RESOURCES = ("sources", "streams", "tenants", "keys", "dead-letters", "dead", "audit")
_CASCADE = "what uses it goes on without it"


def add_resource_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`sources`, `streams`, `tenants`, `keys`, `dead-letters` (`dead`), `audit`."""
    sources = verbs_of(commands, "sources", "where records are fetched from: list, show, delete")
    listing_of(sources, "all of them, by name")
    one(sources, "show", "one source", "source")
    one(sources, "delete", "remove one with its streams; tables and history stay", "source").add_argument(
        "--cascade", action="store_true", help=_CASCADE
    )

    streams = verbs_of(
        commands, "streams", "the collections of sources: list, show, delete, widen, and their cursors"
    )
    listing_of(streams, "all of them, or those of one source").add_argument("--source", help="of one source")
    one(streams, "show", "one stream", "stream")
    one(streams, "delete", "remove one; its table and history stay", "stream").add_argument(
        "--cascade", action="store_true", help=_CASCADE
    )

    cursor = one(streams, "cursor", "how far one has been read; set it, or begin again", "stream")
    change = cursor.add_mutually_exclusive_group()
    change.add_argument("--set", metavar="VALUE", help="where the next incremental run begins")
    change.add_argument("--reset", action="store_true", help="the next run begins at the beginning")
    change.add_argument("--parents", action="store_true", help="list how far each parent was read")
    cursor.add_argument("--limit", type=int, default=20, help="how many parents (default 20)")

    widen = one(
        streams, "widen", "give values that loads put aside (widening_pending) their columns", "stream"
    )
    widen.add_argument(
        "--wait-s", type=float, default=600, metavar="S", help="wait so long for it (default 600)"
    )

    tenants = verbs_of(commands, "tenants", "who owns what: list, show, create, delete")
    listing_of(tenants, "all of them, by name")
    one(tenants, "show", "one tenant", "name")
    one(tenants, "create", "make a tenant", "name").add_argument(
        "--minimum-interval-s", type=int, metavar="S", help="the least distance of two due times (default 60)"
    )
    one(tenants, "delete", "remove one; whatever it has stands in the way", "name").add_argument(
        "--cascade", action="store_true", help="with all below it: history, secrets, tables"
    )
    _keys(commands)
    for name in ("dead-letters", "dead"):
        _dead_letters(commands, name)
    _audit(commands)


def _keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    keys = verbs_of(commands, "keys", "API keys: list, create, revoke")
    listing_of(keys, "all of them, without their secrets")
    one(keys, "show", "one key, without its secret", "key")
    create = keys.add_parser("create", help="make a key; it is shown this once")
    create.add_argument("--name", help="what it is for")
    create.add_argument(
        "--scope",
        action="append",
        choices=("read", "run", "write", "admin"),
        help="what it may do (repeatable; default read)",
    )
    create.add_argument("--expires", metavar="TIME", help="when it ends, 2026-12-31T00:00:00Z")
    create.add_argument("--all-tenants", action="store_true", help="of no tenant: it may act in every one")
    output(create)
    one(keys, "revoke", "end a key", "key")


def _dead_letters(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str) -> None:
    verbs = verbs_of(commands, name, "messages that no one could handle: list, show, replay, discard")
    listing = listing_of(verbs, "the newest ones")
    listing.add_argument("--queue", help="that come from one queue")
    listing.add_argument("--state", choices=("open", "replayed", "discarded"), help="in one state")
    one(verbs, "show", "one dead letter with its message")
    one(verbs, "replay", "let it go its way again")
    one(verbs, "discard", "put it away")


def _audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Without a verb it lists."""
    audit = commands.add_parser("audit", help="who changed what: list, show")
    verbs = audit.add_subparsers(dest="verb", metavar="VERB")
    for listing in (audit, verbs.add_parser("list", help="the newest changes (also without a verb)")):
        listing.add_argument("--kind", help="of one kind of things: schedule, source, key, …")
        listing.add_argument("--name", help="of one thing; a stream is source.stream")
        listing.add_argument("--actor", help="by whom: `key ID`, `cli USER`")
        listing.add_argument("--verb", dest="done", help="what was done: create, change, delete, pause, …")
        listing.add_argument("--since", metavar="TIME", help="from then on: 2026-01-31T12:00:00Z, or 2h ago")
        listing.add_argument("--until", metavar="TIME", help="and before then")
        limited(listing)
        output(listing)
    one(verbs, "show", "one change")
