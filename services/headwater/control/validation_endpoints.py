"""Checks of endpoints: schemes that compile, secrets that can be used, values that schemes name."""

import re
from collections.abc import Iterator

from headwater.contracts.manifest import Endpoint, Manifest
from headwater.control.finding import Finding, Path, header_fault, split_sentence
from headwater.control.validation_sources import twice
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
    header = endpoint.dedupe.header
    if header is not None and header_fault(header, "") is not None:
        yield Finding(
            (*path, "dedupe", "header"),
            f"{header[:60]!r} is no header's name",
            "name the provider's id header",
        )
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
    for index, text in enumerate(endpoint.secrets):
        if names_in(text):
            continue  # it is judged when it is opened
        try:
            load_key(scheme, Secret.of(text), index + 1)
        except ConfigError as error:
            yield Finding((*path, "secrets", index), *split_sentence(str(error)))
        except UnicodeEncodeError:
            yield Finding((*path, "secrets", index), "holds half a surrogate pair", "write it anew")
