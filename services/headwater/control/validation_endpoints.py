"""Checks of endpoints: schemes that compile, secrets that can be used, values that schemes name."""

import re
from collections.abc import Iterator

from headwater.contracts.endpoint import Endpoint, EndpointTable
from headwater.contracts.endpoints import NO_CONTENT, DeliveryRecords, SecretWindow
from headwater.contracts.fields import RecordField
from headwater.contracts.manifest import Manifest
from headwater.control.finding import Finding, Path, split_sentence
from headwater.control.validation_sources import hidden_fields, twice, unknown_fields, wrong_expression
from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.plugins.signatures.keys import load_keys
from headwater.plugins.signatures.scheme import Scheme
from headwater.plugins.webhooks.effects import compile_effects
from headwater.plugins.webhooks.schemes import handshake_of, needs_secret, scheme_of

_PLACE = re.compile(r"([a-z_]+(?:\.[a-z_]+)*): ")


def in_endpoints(manifest: Manifest) -> Iterator[Finding]:
    """What is wrong with the endpoints of the manifest."""
    yield from twice(("endpoints",), [endpoint.name for endpoint in manifest.endpoints], "endpoint")
    for index, endpoint in enumerate(manifest.endpoints):
        yield from _in_endpoint(("endpoints", index), endpoint)


def _in_endpoint(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    try:
        scheme = scheme_of(endpoint)
    except ConfigError as error:
        yield _scheme_fault(path, endpoint, str(error))
        return
    try:
        handshake = handshake_of(endpoint, scheme)
    except ConfigError as error:
        yield _handshake_fault(path, str(error))
        return
    yield from _secrets(path, endpoint, scheme, is_needed=needs_secret(scheme, handshake))
    wrong = list(_expressions(path, endpoint))
    yield from wrong or _effects(path, endpoint)
    yield from _fields(path, endpoint)
    if endpoint.respond.body is not None and endpoint.respond.status in NO_CONTENT:
        yield Finding(
            (*path, "respond", "body"),
            f"an answer with status {endpoint.respond.status} has no body",
            "leave it out, or answer with status 200",
        )
    if endpoint.public_url is not None and any(mark in endpoint.public_url for mark in "?#"):
        yield Finding(
            (*path, "public_url"),
            "is where the path of a request is added, so it has no query",
            "write scheme and host, such as https://hooks.example.com",
        )
    for name in sorted(scheme.context_names - set(endpoint.context)):
        yield Finding(
            (*path, "context"),
            f"scheme {scheme.name} signs the value {name!r}",
            f"give `context: {{{name}: …}}`",
        )


def _scheme_fault(path: Path, endpoint: Endpoint, text: str) -> Finding:
    match = _PLACE.match(text)
    sentence = text[match.end() :] if match else text
    what, mend = split_sentence(sentence)
    if endpoint.definition is None:
        return Finding((*path, "scheme"), what, mend)
    parts = match[1].split(".") if match else []
    return Finding((*path, "definition", *parts), what, mend)


def _handshake_fault(path: Path, text: str) -> Finding:
    match = _PLACE.match(text)
    parts = match[1].split(".") if match else ["handshake"]
    return Finding((*path, *parts), *split_sentence(text[match.end() :] if match else text))


def _secrets(path: Path, endpoint: Endpoint, scheme: Scheme, *, is_needed: bool) -> Iterator[Finding]:
    if not endpoint.secrets and is_needed:
        yield Finding(
            (*path, "secrets"), f"scheme {scheme.name} needs a secret", "give at least one under `secrets`"
        )
    for index, given in enumerate(endpoint.secrets):
        place: Path = (*path, "secrets", index)
        text = given.value if isinstance(given, SecretWindow) else given
        if isinstance(given, SecretWindow):
            place = (*place, "value")
        if names_in(text):
            continue  # it is judged when it is opened
        try:
            load_keys(scheme, Secret.of(text), index + 1)
        except ConfigError as error:
            yield Finding(place, *split_sentence(str(error)))


def _expressions(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    """Every expression of the endpoint compiles."""
    named: list[tuple[Path, str | None]] = [
        (("filter",), endpoint.filter),
        (("order_by",), endpoint.order_by),
        (("dedupe", "expression"), endpoint.dedupe.expression),
        (("publish", "type"), endpoint.publish.type if endpoint.publish else None),
        *_table((), endpoint.records, endpoint.fields),
    ]
    for index, table in enumerate(endpoint.tables):
        here: Path = ("tables", index)
        named += [((*here, "when"), table.when), *_table(here, table.records, table.fields)]
    for index, start in enumerate(endpoint.starts):
        here = ("starts", index)
        named.append(((*here, "when"), start.when))
        named += [((*here, "parameters", name), text) for name, text in start.parameters.items()]
    for place, text in named:
        if text is not None:
            yield from wrong_expression((*path, *place), text)


def _table(
    path: Path, records: DeliveryRecords, fields: tuple[RecordField, ...]
) -> list[tuple[Path, str | None]]:
    return [
        ((*path, "records", "path"), records.path),
        ((*path, "records", "filter"), records.filter),
        *(((*path, "fields", index, "path"), rule.path) for index, rule in enumerate(fields)),
    ]


def _fields(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    """Destinations that name a field which their rows do not have."""
    tables: list[tuple[Path, Endpoint | EndpointTable]] = [((), endpoint)]
    tables += [(("tables", index), table) for index, table in enumerate(endpoint.tables)]
    for place, table in tables:
        if table.destination is not None:
            yield from hidden_fields((*path, *place), table.destination, table.fields)
        if table.destination is not None and table.fields and table.rest != "keep":
            there = {rule.name for rule in table.fields}
            yield from unknown_fields((*path, *place, "destination"), table.destination, there)


def _effects(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    """What deliveries do holds together."""
    try:
        compile_effects(endpoint)
    except ConfigError as error:
        place, _, sentence = str(error).partition(": ")
        parts = tuple(int(part) if part.isdigit() else part for part in place.split("."))
        yield Finding((*path, *parts), *split_sentence(sentence))
