"""The forms of names and addresses that every part of a manifest shares."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

_NAME = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
Name = Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
StreamRef = Annotated[str, StringConstraints(pattern=rf"^{_NAME}\.{_NAME}$")]
# A repeat with a bound is compiled as so many copies, and a class of all but some characters is a large one: these
# lengths are bounded beside their patterns, which spares each process that reads an endpoint ten megabytes.
HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", max_length=128)
]  # RFC 9110 §5.6.2: token
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e\t]*$", max_length=2048)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=2048)]  # JMESPath
SecretText = Annotated[str, Field(min_length=1, json_schema_extra={"x-secret": True})]  # stored encrypted
OptionalSecretText = Annotated[str, Field(json_schema_extra={"x-secret": True})]
SqlName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]  # of tables and schemas
FieldPath = Annotated[str, StringConstraints(pattern=r"^[^.\s]+(?:\.[^.\s]+){0,15}$", max_length=2048)]


def _http_url(text: str) -> str:
    if not re.match(r"^https?://[^/\s?#]+", text) and not text.startswith("${"):
        raise ValueError("must be an absolute http:// or https:// address")
    return text.rstrip("/") if text.count("/") == 3 else text


HttpUrl = Annotated[str, AfterValidator(_http_url)]
