"""A compiled scheme: everything about it that does not depend on secrets or requests is decided here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from headwater.plugins.signatures.documents import Path
from headwater.plugins.signatures.template import Template

if TYPE_CHECKING:
    from headwater.contracts.signatures import SchemeDefinition

Decoder = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """A header (`header`, lower case) or a field of the JSON body (`path`); one of them is set."""

    header: bytes | None = None
    path: Path | None = None


@dataclass(frozen=True)  # without slots, which a cached property needs not to be there
class SignatureForm:
    """Where signatures are (`headers` in lower case, in this order, or the query's `parameter`) and how one is read."""

    format: str
    headers: tuple[bytes, ...]
    parameter: bytes | None
    numbered: bytes | None  # the beginning of numbered headers
    repeatable: bool
    multi: bytes | None  # what separates several signatures in one value
    prefix: bytes
    prefix_optional: bool
    prefix_any_case: bool
    decode: Decoder
    separator: bytes
    time_key: bytes
    signature_key: bytes
    headers_key: bytes
    several_keys: bool
    field: Path

    @cached_property
    def is_single(self) -> bool:
        """Whether one header has one signature and nothing else."""
        return (
            self.format not in ("kv", "list", "jwt", "body")
            and self.numbered is None
            and len(self.headers) == 1
            and not self.repeatable
            and self.multi is None
        )


@dataclass(frozen=True, slots=True)
class TimeForm:
    """Where the time is: in the signature's own header (`in_signature`), at a place, or in a claim."""

    unit: str
    in_signature: bool = False
    place: Place | None = None
    claim: str | None = None
    after_match: bool = (
        False  # a body's field outside the template is read only once the body is known to be right
    )


@dataclass(frozen=True, slots=True)
class BodyHash:
    """A hash of the body in a parameter of the signed URL."""

    parameter: str
    hash: str
    decode: Decoder


@dataclass(frozen=True)
class Scheme:
    """What `compile_scheme` gives. `tolerance_s` is the provider's advice, None where it gives none.

    `context_names` are the values an endpoint must be configured with; `handshake` names the provider's.
    """

    name: str
    kind: str
    hash: str
    hash_by_version: bool  # whether each message says which it is
    definition: "SchemeDefinition" = field(repr=False)
    signature: SignatureForm = field(repr=False)
    template: Template = field(repr=False)
    time: TimeForm | None = field(repr=False)
    body_hash: BodyHash | None = field(repr=False)
    delivery_id: Place | None = field(repr=False)
    event_type: Place | None = field(repr=False)
    reads_document: bool = field(repr=False)  # whether the body is parsed before the signature can be checked
    signs_items: bool = field(repr=False)  # whether each item of the body carries a signature of its own
    signs_unfolded: bool = field(repr=False)  # whether a compressed body counts as what it unfolds to
    tolerance_s: float | None
    handshake: str | None

    @cached_property
    def is_plain(self) -> bool:
        """Whether what is signed has one spelling, and its hash is always the same."""
        return self.definition.url_variants is None and self.kind != "hash" and not self.hash_by_version

    @property
    def fetches_keys(self) -> bool:
        """Whether what verifies is fetched where the operator gives no secret."""
        key = self.definition.key
        return key.certificate_from is not None or key.keys_url is not None

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same definition."""
        return self.definition.model_dump_json()

    @property
    def context_names(self) -> frozenset[str]:
        return frozenset(
            name.partition(":")[2] for name in self.template.fields if name.startswith("context:")
        )
