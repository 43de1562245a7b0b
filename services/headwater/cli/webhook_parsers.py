"""The commands about webhooks: their verbs and options."""

import argparse

from headwater.cli.options import listing_of, one, output, verbs_of

_SINCE = "not before: a time, or how long ago (2h)"


def add_webhook_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`refusals`, `deliveries`, `replays`, `endpoints`, `secrets`, `presets`, `listen`."""
    _refusals(commands)
    _deliveries(commands)
    _replays(commands)
    _endpoints(commands)
    _secrets(commands)
    _presets(commands)
    _listen(commands)


def _refusals(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = verbs_of(commands, "refusals", "requests that were turned away, and why")
    listing = listing_of(verbs, "the newest refusals")
    listing.add_argument("--endpoint", help="of one endpoint")
    listing.add_argument("--reason", help="with this code, such as mismatch")
    listing.add_argument("--since", help=_SINCE)
    listing.add_argument("--until", help="before")
    one(verbs, "show", "one refusal")


def _deliveries(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = verbs_of(commands, "deliveries", "received webhooks: list, show, search, replay")
    listing = listing_of(verbs, "the newest deliveries, or those that a search finds")
    listing.add_argument("--endpoint", help="of one endpoint")
    listing.add_argument("--state", choices=("accepted", "done", "filtered", "dead"), help="in one state")
    listing.add_argument("--type", help="of one type of event")
    listing.add_argument("--since", help=_SINCE)
    listing.add_argument("--until", help="before")
    _searched(listing)
    one(verbs, "show", "one delivery")
    one(verbs, "raw", "its body, byte for byte, to standard output")
    one(verbs, "duplicates", "the receipts that were merged into it")
    replay = verbs.add_parser("replay", help="do deliveries again, by id or by filter")
    replay.add_argument("ids", nargs="*", metavar="ID")
    replay.add_argument("--endpoint", help="of one endpoint")
    replay.add_argument(
        "--state", action="append", choices=("done", "filtered", "dead"), help="in this state (repeatable)"
    )
    replay.add_argument("--type", help="of one type of event")
    replay.add_argument("--since", help=_SINCE)
    replay.add_argument("--until", help="before")
    _searched(replay)
    replay.add_argument("--all", action="store_true", help="every delivery that is settled")
    replay.add_argument("--rate", type=float, metavar="N", help="so many in a second (default: at once)")
    replay.add_argument("--limit", type=int, help="how many at most")
    replay.add_argument("--dry-run", action="store_true", help="only count them")
    replay.add_argument(
        "--wait", action="store_true", help="wait until all are done; exit 1 if some are dead"
    )
    output(replay)


def _searched(command: argparse.ArgumentParser) -> None:
    command.add_argument("-q", "--q", metavar="TEXT", help="an id, or a text in the body")
    command.add_argument("--header", metavar="NAME[: VALUE]", help="with this header")
    command.add_argument("--payload", metavar="PATH[=VALUE]", help="with this place in its JSON body")


def _replays(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = verbs_of(commands, "replays", "requests for replays, and how far they are")
    listing_of(verbs, "the newest requests")
    one(verbs, "show", "one request")
    one(verbs, "cancel", "do no more of it")


def _endpoints(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = verbs_of(commands, "endpoints", "addresses that accept webhooks")
    listing_of(verbs, "all endpoints").add_argument("-q", "--q", metavar="TEXT", help="a part of the name")
    one(verbs, "show", "one endpoint", "name")
    one(verbs, "stats", "what came to it, and its alarms", "name").add_argument(
        "--since", help=f"{_SINCE}; default: 24h"
    )
    put = verbs.add_parser("put", help="make an endpoint, or replace it, from a file")
    put.add_argument("file", help="the endpoint as a manifest has it (YAML or JSON); - reads standard input")
    output(put)
    for verb, text in (
        ("delete", "remove it; its deliveries stay"),
        ("enable", "let it receive"),
        ("disable", "let it receive nothing: senders get 404"),
    ):
        one(verbs, verb, text, "name")
    handshake = one(verbs, "handshake", "its handshake with the provider", "name")
    handshake.add_argument(
        "--reset", action="store_true", help="forget the provider's secret and wait for its handshake again"
    )
    handshake.add_argument("--reveal", action="store_true", help="show the provider's secret, once")
    test = one(verbs, "test", "what would become of a request; nothing is written", "name")
    test.add_argument("--body", metavar="FILE", help="the body's bytes; - reads standard input")
    test.add_argument("-H", "--header", action="append", default=[], metavar="NAME: VALUE", help="repeatable")
    test.add_argument("--method", default="POST")
    test.add_argument("--url", default="", help="the public URL that the sender used")
    test.add_argument("--delivery", metavar="ID", help="a stored delivery instead of a request")
    test.add_argument("--remote", metavar="ADDRESS", help="the sender's address")
    test.add_argument("--at", help="judge as of this time")


def _secrets(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = verbs_of(commands, "secrets", "named secrets, secrets of endpoints, and the keys that seal them")
    listing_of(verbs, "named secrets, without their values")
    _value(one(verbs, "set", "set a named secret; the value comes from standard input", "name"))
    one(verbs, "remove", "remove a named secret that nobody uses", "name")
    status = verbs.add_parser("status", help="an endpoint's secrets; without one, the keys that seal secrets")
    status.add_argument("endpoint", nargs="?")
    output(status)
    rotate = verbs.add_parser(
        "rotate", help="give an endpoint a new secret; without one, seal all secrets under the first key"
    )
    rotate.add_argument("endpoint", nargs="?")
    rotate.add_argument("--given", action="store_true", help="the new secret comes from standard input")
    _value(rotate)
    rotate.add_argument(
        "--overlap", metavar="SECONDS", type=int, help="how long the others count on (default: a day)"
    )
    rotate.add_argument("--keep", action="store_true", help="let the others count until they are retired")
    rotate.add_argument("--not-before", metavar="TIME", help="when the new one begins to count")
    output(rotate)
    retire = verbs.add_parser("retire", help="take a secret of an endpoint out of use")
    retire.add_argument("endpoint")
    retire.add_argument("secret", help="its index or its name, as `secrets status` shows it")
    retire.add_argument("--force", action="store_true", help="also when it is not safe to retire")
    output(retire)


def _value(command: argparse.ArgumentParser) -> None:
    command.add_argument("--env", metavar="VARIABLE", help="take the value from this environment variable")
    command.add_argument("--file", metavar="FILE", help="take the value from this file")


def _presets(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = verbs_of(commands, "presets", "signature schemes, handshakes and times that go by a name")
    listing = verbs.add_parser("list", help="all presets")
    listing.add_argument("--kind", choices=("signature", "handshake", "schedule"), help="of one kind")
    listing.add_argument("-q", "--q", metavar="TEXT", help="a part of name or description")
    listing.add_argument("--limit", type=int, default=500, help="how many (default: all)")
    output(listing)
    one(verbs, "show", "one preset", "name").add_argument(
        "--kind", choices=("signature", "handshake", "schedule"), help="where a name stands for several"
    )


def _listen(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listen = commands.add_parser(
        "listen",
        help="forward an endpoint's deliveries to a local address as they come",
        description="Forwards deliveries, raw bytes and headers in wire order, and goes on where it stopped.",
    )
    listen.add_argument("endpoint")
    listen.add_argument("url", help="where to, such as http://127.0.0.1:3000/hooks")
    listen.add_argument(
        "--from",
        dest="start",
        metavar="POSITION",
        help="`now`, `beginning`, or a position; default: where it stopped",
    )
    listen.add_argument(
        "--api", metavar="URL", help="ask headwater's API at this address (default: HEADWATER_URL)"
    )
    listen.add_argument(
        "--key-file",
        metavar="FILE",
        help="the API's key (default: HEADWATER_API_KEY, else HEADWATER_ADMIN_KEY; without any the database is asked)",
    )
    listen.add_argument("--count", type=int, metavar="N", help="end after so many deliveries")
    listen.add_argument(
        "--retries", type=int, default=5, metavar="N", help="of an answer 5xx or 429 (default 5)"
    )
    listen.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="for an answer (default 30)"
    )
    listen.add_argument("--tenant", default=None, help="whose, for a key of no tenant (default: default)")
    listen.add_argument("--json", action="store_true", help="print one JSON object a line")
