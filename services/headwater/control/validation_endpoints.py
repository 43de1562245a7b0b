"""Checks of endpoints: schemes that compile, secrets that can be used, values that schemes name."""

import re
from collections.abc import Iterator, Mapping

from headwater.contracts.endpoints import SecretWindow
from headwater.contracts.manifest import Endpoint, Manifest
from headwater.control.finding import Finding, Path, split_sentence
from headwater.control.validation_sources import twice, wrong_expression
from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.plugins.signatures import Scheme, compile_definition, preset
from headwater.plugins.signatures.keys import load_key

_PLACE = re.compile(r"([a-z_]+(?:\.[a-z_]+)*): ")


def in_endpoints(manifest: Manifest) -> Iterator[Finding]:
    """What is wrong with the endpoints of the manifest."""
    yield from twice(("endpoints",), [endpoint.name for endpoint in manifest.endpoints], "endpoint")
    for index, endpoint in enumerate(manifest.endpoints):
        yield from _in_endpoint(("endpoints", index), endpoint)


def _in_endpoint(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    try:
        scheme = (
            preset(endpoint.scheme or "")
            if endpoint.definition is None
            else compile_definition(endpoint.definition)
        )
    except ConfigError as error:
        yield _scheme_fault(path, endpoint, str(error))
        return
    yield from _secrets(path, endpoint, scheme)
    yield from _expressions(path, endpoint)
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


def _secrets(path: Path, endpoint: Endpoint, scheme: Scheme) -> Iterator[Finding]:
    if not endpoint.secrets:
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
            load_key(scheme, Secret.of(text), index + 1)
        except ConfigError as error:
            yield Finding(place, *split_sentence(str(error)))


def _expressions(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    """Every expression of the endpoint compiles."""
    named: list[tuple[Path, str | None]] = [
        (("filter",), endpoint.filter),
        (("order_by",), endpoint.order_by),
        (("dedupe", "expression"), endpoint.dedupe.expression),
        (("publish", "type"), endpoint.publish.type if endpoint.publish else None),
        *_table((), endpoint.records.path, endpoint.fields),
    ]
    for index, table in enumerate(endpoint.tables):
        here: Path = ("tables", index)
        named += [((*here, "when"), table.when), *_table(here, table.records.path, table.fields)]
    for index, start in enumerate(endpoint.starts):
        here = ("starts", index)
        named.append(((*here, "when"), start.when))
        named += [((*here, "parameters", name), text) for name, text in start.parameters.items()]
    for place, text in named:
        if text is not None:
            yield from wrong_expression((*path, *place), text)


def _table(path: Path, records: str | None, fields: Mapping[str, str]) -> list[tuple[Path, str | None]]:
    return [
        ((*path, "records", "path"), records),
        *(((*path, "fields", name), text) for name, text in fields.items()),
    ]
