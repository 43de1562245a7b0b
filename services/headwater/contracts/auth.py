"""How a source is told who is asking. Texts may hold `${secret:NAME}`, read at run time."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from headwater.contracts.base import Closed

SecretText = Annotated[str, Field(min_length=1, json_schema_extra={"x-secret": True})]  # stored encrypted
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")]


class NoAuth(Closed):
    type: Literal["none"] = "none"


class BearerAuth(Closed):
    """`Authorization: Bearer <token>`; `scheme` replaces the word Bearer."""

    type: Literal["bearer"]
    token: SecretText
    scheme: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~+/-]{1,32}$")] = "Bearer"


class BasicAuth(Closed):
    type: Literal["basic"]
    username: str
    password: Annotated[str, Field(json_schema_extra={"x-secret": True})] = ""


class ApiKeyAuth(Closed):
    """A key in a header, a query parameter or a cookie."""

    type: Literal["api_key"]
    name: Annotated[str, StringConstraints(min_length=1, max_length=128)] = "X-API-Key"
    value: SecretText
    place: Literal["header", "query", "cookie"] = Field(default="header", alias="in")


Auth = Annotated[NoAuth | BearerAuth | BasicAuth | ApiKeyAuth, Field(discriminator="type")]
