"""Templates of what is signed: `v0:{timestamp}:{body}` becomes a function from a request to bytes."""

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from headwater.model.errors import ConfigError
from headwater.plugins.signatures import canonical, documents
from headwater.plugins.signatures.material import Material
from headwater.plugins.signatures.reasons import Refused
from headwater.plugins.signatures.request import single_header, spelled_parameter

Part = Callable[[Material], bytes]

MAX_SIGNED_HEADERS = 50
_FIELD = re.compile(r"\{\{|\}\}|\{([a-z0-9_]+)(?::([^{}]*))?\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """Compiled text. `fields` are the names used, for example `body`, `header:x-id`, `json:data.id`."""

    parts: tuple[Part, ...]
    fields: frozenset[str]

    def render(self, material: Material) -> bytes:
        """The signed bytes. Raises Refused for what the request lacks."""
        if len(self.parts) == 1:  # `{body}`: no copy
            return self.parts[0](material)
        return b"".join([part(material) for part in self.parts])

    def uses(self, *kinds: str) -> bool:
        """Whether a field of one of these kinds (the part before the colon) is signed."""
        return any(field.partition(":")[0] in kinds for field in self.fields)


def _body(material: Material) -> bytes:
    return material.request.body


def _timestamp(material: Material) -> bytes:
    return material.timestamp


def _secret(material: Material) -> bytes:
    return material.secret


def _method(material: Material) -> bytes:
    return material.request.method.encode("ascii")


def _url(material: Material) -> bytes:
    return material.url.encode("utf-8")


def _url_no_query(material: Material) -> bytes:
    return material.url.partition("#")[0].partition("?")[0].encode("utf-8")


def _path(material: Material) -> bytes:
    return urlsplit(material.url).path.encode("utf-8")


def _query(material: Material) -> bytes:
    return urlsplit(material.url).query.encode("utf-8")


def _body_crc32(material: Material) -> bytes:
    return str(zlib.crc32(material.request.body)).encode("ascii")


def _body_sha256(material: Material) -> bytes:
    return hashlib.sha256(material.request.body).hexdigest().encode("ascii")


def _form(material: Material) -> bytes:
    return canonical.url_and_sorted_form(material.url.encode("utf-8"), material.request.body)


def _sorted_form(material: Material) -> bytes:
    request = material.request
    return canonical.sorted_url_and_form(request.method, material.url.encode("utf-8"), request.body)


def _sns(material: Material) -> bytes:
    return canonical.sns_text(material.document)


def _signed_headers(material: Material) -> bytes:
    """Hook0: the names as the signature tells them, and the values of these headers, joined by dots."""
    names = material.header_names
    if not names:
        raise Refused("malformed", "signed headers")
    told = names.split(b" ")
    if len(told) > MAX_SIGNED_HEADERS:
        raise Refused("malformed", "signed headers")
    return b".".join([names, *(single_header(material.request, name.lower()) for name in told)])


_PLAIN: Final[Mapping[str, Part]] = {
    "body": _body,
    "timestamp": _timestamp,
    "secret": _secret,
    "method": _method,
    "url": _url,
    "url_no_query": _url_no_query,
    "path": _path,
    "query": _query,
    "signed_headers": _signed_headers,
    "body_crc32_dec": _body_crc32,
    "body_sha256_hex": _body_sha256,
}
# What stands after the colon of these only tells the reader what the form is.
_CANONICAL: Final[Mapping[str, Part]] = {"twilio": _form, "plivo": _sorted_form, "sns": _sns}


def _literal(text: str) -> Part:
    raw = text.encode("utf-8")
    return lambda _: raw


def _header(argument: str) -> Part:
    name = argument.lower().encode("ascii")

    def value(material: Material) -> bytes:
        found = single_header(material.request, name)
        if not found:  # a signed header that is there and empty, such as an id, names nothing
            raise Refused("header_missing", name.decode("ascii"))
        return found

    return value


def _parameter(argument: str) -> Part:
    name = argument.encode("ascii")
    return lambda material: spelled_parameter(material.request, name)


def _lower_parameter(argument: str) -> Part:
    name = argument.encode("ascii")
    return lambda material: spelled_parameter(material.request, name).lower()


def _context(argument: str) -> Part:
    def value(material: Material) -> bytes:
        found = material.context.get(argument)
        if not found:
            raise Refused("context_missing", argument)
        return found.encode("utf-8")

    return value


def _json(argument: str) -> Part:
    path = documents.read_path(argument)
    return lambda material: documents.text_at(material.document, path)


def _adyen(argument: str) -> Part:
    text = canonical.adyen_text(argument)
    return lambda material: text(material.document)


_WITH_ARGUMENT: Final[Mapping[str, Callable[[str], Part]]] = {
    "header": _header,
    "query_param": _parameter,
    "query_param_lower": _lower_parameter,
    "context": _context,
    "json": _json,
    "adyen": _adyen,
}


def _field(name: str, argument: str | None) -> tuple[Part, str]:
    if name in _PLAIN and argument is None:
        return _PLAIN[name], name
    if name in _CANONICAL and argument is not None:
        return _CANONICAL[name], name
    if name in _WITH_ARGUMENT and argument and argument.isascii() and argument.strip() == argument:
        spelled = argument.lower() if name == "header" else argument
        return _WITH_ARGUMENT[name](argument), f"{name}:{spelled}"
    known = ", ".join(f"{{{field}}}" for field in _PLAIN)
    raise ConfigError(
        f"signed: {{{name}{'' if argument is None else ':' + argument}}} is not a field of a template; "
        f"use {known}, {{header:NAME}}, {{query_param:NAME}}, {{context:NAME}}, {{json:PATH}}, {{twilio:}}, "
        "{plivo:}, {sns:} or {adyen:FIELDS}"
    )


def compile_template(text: str) -> Template:
    """The compiled template. Braces of the text itself are doubled. Raises ConfigError."""
    parts: list[Part] = []
    fields: set[str] = set()
    literal = ""
    position = 0
    for found in _FIELD.finditer(text):
        literal += text[position : found.start()]
        position = found.end()
        if found[0] in ("{{", "}}"):
            literal += found[0][0]
        elif found[1] is None:
            raise ConfigError(
                f"signed: a single {found[0]} at position {found.start()}; double it to mean itself"
            )
        else:
            part, name = _field(found[1], found[2])
            parts += [_literal(literal), part] if literal else [part]
            fields.add(name)
            literal = ""
    literal += text[position:]
    if literal:
        parts.append(_literal(literal))
    return Template(tuple(parts), frozenset(fields))
