"""A webhook signature scheme as people write it: under `definition:` of an endpoint, or as a preset's row.

The fields say which header, which hash, what is signed and how the time is bound; `plugins/signatures`
compiles them. Only shapes are checked here; whether the fields fit each other is checked on compiling.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from headwater.contracts.base import Closed
from headwater.contracts.naming import FieldPath, HeaderName

Encoding = Literal["hex", "base64", "base64url", "utf8"]
Note = Annotated[str, StringConstraints(max_length=2048)]
Mark = Annotated[str, StringConstraints(min_length=1, max_length=64)]

HASH_BY_VERSION = "by_signature_version"  # AWS SNS: SignatureVersion 1 means sha1, 2 means sha256
DEFAULT_PORT = "default_port"


def _spelled_out(short: str, beginning: str) -> Any:
    """A validator that reads a sentence beginning with `beginning` as the short word it stands for."""

    def shorten(value: object) -> object:
        return short if isinstance(value, str) and value.startswith(beginning) else value

    return BeforeValidator(shorten)


def _place(text: str) -> str:
    kind, _, rest = text.partition(":")
    if kind not in ("header", "body") or not rest or rest.strip() != rest:
        raise ValueError("write header:NAME or body:PATH (a dotted path into a JSON body)")
    return text


Place = Annotated[str, Field(max_length=256), AfterValidator(_place)]


KeysUrl = Annotated[
    str, StringConstraints(pattern=r"^https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/[\x21-\x7e]*$", max_length=512)
]


class KeyDefinition(Closed):
    """How the text of a secret becomes a key. `strip_prefix` is taken off where it stands."""

    encoding: Literal["utf8", "base64", "hex", "pem", "jwk"] = Field(
        default="utf8",
        description=(
            "`jwk`: a JSON Web Key or a set of them. Schemes of public keys read these, and PEM, whatever stands here."
        ),
    )
    type: Note | None = Field(
        default=None, description="A note on the key's form; `kind` decides how it is read."
    )
    strip_prefix: Mark | None = None
    normalize: Literal["NFC", "NFD", "NFKC", "NFKD"] | None = None
    certificate_from: Place | None = Field(
        default=None, description="Where the request names its signing certificate."
    )
    certificate_hosts: tuple[Mark, ...] = Field(
        default=(), description="Hosts a certificate may be fetched from; `*` stands for one label."
    )
    keys_url: KeysUrl | None = Field(
        default=None,
        description=(
            "Where the sender publishes its public keys, as a set of JSON Web Keys: fetched when they are needed, and "
            "anew when a signature belongs to none of them. Such an endpoint needs no secret."
        ),
    )


class SignatureDefinition(Closed):
    """Where the signature is and how it is written."""

    header: HeaderName | None = None
    query_param: Mark | None = Field(
        default=None,
        description="The query parameter that holds it, instead of a header. A token's value is not kept.",
    )
    format: Literal["plain", "kv", "list", "body", "jwt"] = Field(
        default="plain", description="`list`: the time and behind it one or more signatures, between `sep`."
    )
    encoding: Encoding = "hex"
    prefix: Annotated[str, StringConstraints(max_length=64)] = ""
    prefix_optional: bool = False
    multi: (
        Literal[",", " ", ";", "|", "repeat-header", "numbered-header", "alt-headers", "repeat-key"] | None
    ) = None
    alt_headers: tuple[HeaderName, ...] = ()
    sep: Literal[",", ";", " ", "&", "|"] = ","
    ts_key: Mark | None = None
    sig_key: Mark | None = None
    headers_key: Mark | None = Field(
        default=None, description="The key that names the signed headers, for `{signed_headers}`."
    )
    field: FieldPath | None = None
    claim: Mark | None = Field(
        default=None, description="The claim of a JWT that holds the hash of the body."
    )
    iss: Mark | None = None
    aud: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = Field(
        default=None, description="The audience that a JWT must be for."
    )
    claims: dict[Mark, str | bool | int] = Field(
        default={}, max_length=10, description="Other claims of a JWT, and what each must say."
    )


class TimestampDefinition(Closed):
    """Where the time is. It must be part of what is signed."""

    place: Annotated[
        str, StringConstraints(pattern=r"^(?:sig|header:[^\s:]+|body:\S+|claim:\S+)$", max_length=261)
    ] = Field(alias="from")
    unit: Literal["s", "ms", "s-or-ms", "s-str", "rfc3339", "iso8601", "http-date"] = Field(
        default="s",
        description=(
            "`iso8601`: as `rfc3339`, in UTC where it says no zone. `s-or-ms`: with 12 digits and more in milliseconds."
        ),
    )
    recommended_tolerance_s: Annotated[float, Field(gt=0, le=7 * 86_400)] | None = None


class BodyHashDefinition(Closed):
    """A hash of the body in a query parameter of the signed URL."""

    query_param: Mark
    hash: Literal["md5", "sha1", "sha256", "sha384", "sha512"] = "sha256"
    encoding: Encoding = "hex"


class SchemeDefinition(Closed):
    """A signature scheme. With a header alone it is HMAC-SHA256 over the body, in hex."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")] = "definition"
    provider: Note | None = None
    doc: Note | None = None
    reply: Note | None = None
    escape_body: Note | None = None
    kind: Literal[
        "hmac",
        "hash",
        "token",
        "ed25519",
        "ecdsa-p256",
        "rsa-pkcs1v15",
        "jwt-hs256",
        "jwt-rs256",
        "jwt-es256",
        "jwt-eddsa",
    ] = "hmac"
    hash: (
        Annotated[
            Literal["md5", "sha1", "sha256", "sha384", "sha512", "by_signature_version"],
            _spelled_out(HASH_BY_VERSION, "by SignatureVersion"),
        ]
        | None
    ) = "sha256"
    key: KeyDefinition = KeyDefinition()
    signature: SignatureDefinition
    signed: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description=(
            "Template of the signed bytes: {body} {url} {url_no_query} {path} {query} {method} {timestamp} "
            "{secret} {header:NAME} {query_param:NAME} {query_param_lower:NAME} {context:NAME} {json:PATH} "
            "{signed_headers} {body_crc32_dec} {body_sha256_hex} {twilio:} {plivo:} {sns:} "
            "{adyen:FIELDS}; the last four are forms of their own. Without it: {body}."
        ),
    )
    signed_body: Literal["sent", "unfolded"] = Field(
        default="sent",
        description=(
            "What {body} is of a compressed body: the bytes as they were sent, or what they unfold to (2 MiB at most). "
            "Compressed bodies are taken where `limits.compressed` is set."
        ),
    )
    timestamp: TimestampDefinition | None = None
    body_hash: BodyHashDefinition | None = None
    url_variants: (
        Annotated[
            Literal["default_port", "decoded"], _spelled_out(DEFAULT_PORT, "with and without default port")
        ]
        | None
    ) = Field(
        default=None,
        description=(
            "Spellings of the URL that count as well: with and without its default port, or with the characters "
            ": / ? @ ! $ ' ( ) * , ; decoded."
        ),
    )
    handshake: Mark | None = None
    delivery_id: Place | None = Field(default=None, description="Where the provider's delivery id is.")
    event_type: Place | None = Field(
        default=None, description="Where the provider names the type of the event."
    )
